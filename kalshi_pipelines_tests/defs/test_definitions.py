"""Definitions match a reviewed snapshot, load in a new Python process, and make assets wait for their schema."""

import subprocess
import sys
from typing import Any

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.requirement import WAREHOUSE_SCHEMA, AssetWithoutSchema, require_schema_upstream
from kalshi_pipelines.defs.schema.warehouse import warehouse_asset


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """Return what a reviewer must see of the definitions: keys, dependencies, texts, jobs and schedules."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    return {
        "assets": {
            key.to_user_string(): {
                "group": graph.get(key).group_name,
                "waits for": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
                "kinds": sorted(graph.get(key).kinds),
                "owners": sorted(graph.get(key).owners),
                "description": graph.get(key).description,
            }
            for key in sorted(graph.get_all_asset_keys())
        },
        "jobs": {
            job.name: {"steps": sorted(node.name for node in job.nodes), "tags": dict(job.run_tags or {})}
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
        },
        "schedules": {
            schedule.name: [schedule.cron_schedule, schedule.execution_timezone, schedule.job_name]
            for schedule in repository.schedule_defs
        },
        "checks": sorted(str(key.to_user_string()) for key in graph.asset_check_keys),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "resources": sorted(repository.get_top_level_resources()),
    }


def test_definitions_match_the_reviewed_snapshot(snapshot: SnapshotAssertion) -> None:
    assert described(build_defs()) == snapshot(extension_class=JSONSnapshotExtension)


def test_definitions_are_valid() -> None:
    dg.Definitions.validate_loadable(build_defs())


def test_every_asset_has_description_owner_kind_and_group() -> None:
    graph = build_defs().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
        assert node.group_name != "default", key
        if node.group_name == "market_data":
            assert node.freshness_policy, key


def test_every_job_schedule_and_sensor_has_a_description() -> None:
    repository = build_defs().get_repository_def()
    described: dict[str, str | None] = {
        **{job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")},
        **{schedule.name: schedule.description for schedule in repository.schedule_defs},
        **{sensor.name: sensor.description for sensor in repository.sensor_defs},
    }
    assert [name for name, description in described.items() if not description] == []


@pytest.mark.parametrize("warning", ["BetaWarning", "PreviewWarning"])
def test_fresh_interpreter_loads_definitions_without_beta_or_preview_features(warning: str) -> None:
    code = (
        "import warnings; from dagster._utils.warnings import BetaWarning, PreviewWarning\n"
        f"warnings.simplefilter('error', {warning})\n"
        "import kalshi_pipelines; kalshi_pipelines.pipelines.get_repository_def()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_packages_below_defs_never_load_dagster() -> None:
    code = (
        "import sys, kalshi_pipelines, kalshi_pipelines.ingest.sweeps, kalshi_pipelines.demo\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'dagster']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_warehouse_asset_that_does_not_wait_for_the_schema_is_refused() -> None:
    @dg.asset
    def hasty(warehouse: WarehouseResource) -> None:
        """An asset that uses the warehouse without waiting for the migration of the warehouse's schema."""

    definitions = dg.Definitions(assets=[hasty], resources={"warehouse": WarehouseResource()})
    with pytest.raises(AssetWithoutSchema, match="hasty"):
        require_schema_upstream(definitions)


def test_dependency_added_to_a_finished_asset_does_not_count_as_waiting() -> None:
    @dg.asset
    def hasty(warehouse: WarehouseResource) -> None:
        """An asset that uses the warehouse without waiting for the migration of the warehouse's schema."""

    (drawn,) = dg.map_asset_specs(lambda spec: spec.merge_attributes(deps=[WAREHOUSE_SCHEMA]), [hasty])
    definitions = dg.Definitions(assets=[drawn], resources={"warehouse": WarehouseResource()})
    with pytest.raises(AssetWithoutSchema, match="hasty"):
        require_schema_upstream(definitions)


def test_asset_made_with_the_decorator_waits_for_the_schema() -> None:
    @warehouse_asset(group_name="test")
    def patient(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> None:
        """An asset that uses the warehouse after the migration of the warehouse's schema."""

    definitions = dg.Definitions(assets=[patient], resources={"warehouse": WarehouseResource()})
    assert require_schema_upstream(definitions) is definitions
