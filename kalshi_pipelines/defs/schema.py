"""The schema of the warehouse as an asset, and ``@warehouse_asset``: the only way to define an asset that needs it."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import one_sentence
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.warehouse.engine import explained_failures, place_of
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.migrations import require_head, upgrade_to_head

WAREHOUSE_SCHEMA: Final = dg.AssetKey("warehouse_schema")
OWNERS: Final = ["team:data"]

Body = Callable[..., Any]


class WarehouseAssetWithoutSchema(Exception):
    """An asset uses the warehouse but does not wait for its schema."""


# Dagster wants the names of ops and jobs to differ, and users call the job `migrate`.
@dg.op(name="migrate_to_head")
def migrate(context: dg.OpExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
    """Bring the warehouse to the newest schema; does nothing when it is there already."""
    with one_sentence(context.log), explained_failures(warehouse.engine):
        with warehouse.engine.connect() as connection:
            refuse_another_environment(connection, warehouse.settings.environment)
        upgrade = upgrade_to_head(warehouse.engine)
    context.log.info(
        f"warehouse schema: {upgrade.before or '(empty)'} -> {upgrade.after}, {len(upgrade.applied)} migrations applied"
    )
    return dg.MaterializeResult(
        metadata={
            "before": upgrade.before or "(empty)",
            "after": upgrade.after,
            "applied": ", ".join(upgrade.applied) or "nothing to do",
            "database": place_of(warehouse.engine),
        },
        data_version=dg.DataVersion(upgrade.after),
    )


@dg.graph_asset(
    name=WAREHOUSE_SCHEMA.path[-1],
    group_name="warehouse",
    kinds={"alembic", "sql"},
    owners=OWNERS,
)
def warehouse_schema() -> dg.MaterializeResult[Any]:
    """The warehouse's tables at the newest migration: upstream of everything that reads or writes them."""
    migrated: dg.MaterializeResult[Any] = migrate()
    return migrated


def warehouse_asset(**options: Any) -> Callable[[Body], dg.AssetsDefinition]:  # noqa: ANN401
    """``@dg.asset`` for an asset that uses the warehouse: waits for the schema and refuses to run without it.

    The body takes the context and a resource named ``warehouse`` and returns a result.
    """
    deps = [WAREHOUSE_SCHEMA, *options.pop("deps", [])]

    def decorate(body: Body) -> dg.AssetsDefinition:
        asset: dg.AssetsDefinition = dg.asset(deps=deps, owners=OWNERS, **options)(_guarded(body))
        return asset

    return decorate


def warehouse_multi_asset(
    specs: list[dg.AssetSpec],
    **options: Any,  # noqa: ANN401
) -> Callable[[Body], dg.AssetsDefinition]:
    """``@warehouse_asset`` for a body that makes several assets in one pass and returns a tuple of results."""
    specs = [spec.merge_attributes(deps=[WAREHOUSE_SCHEMA], owners=OWNERS) for spec in specs]

    def decorate(body: Body) -> dg.AssetsDefinition:
        return dg.multi_asset(specs=specs, **options)(_guarded(body))

    return decorate


def _guarded(body: Body) -> Body:
    @wraps(body)
    def guarded(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        **resources: Any,  # noqa: ANN401
    ) -> Iterator[Any]:
        with one_sentence(context.log), explained_failures(warehouse.engine):
            require_head(warehouse.engine)
            result = body(context, warehouse=warehouse, **resources)
        yield from [result] if isinstance(result, dg.MaterializeResult) else result

    return guarded


def require_schema_upstream(definitions: dg.Definitions) -> dg.Definitions:
    """The definitions, once it is certain that every asset with the warehouse really waits for its schema.

    The arrow in the graph is not enough: a dependency that was added to the spec from outside is drawn, but the step
    does not wait for it. So the inputs of the step are looked at.

    Raises:
        WarehouseAssetWithoutSchema: Names the assets that do not.
    """
    unguarded = [
        key.to_user_string()
        for asset in definitions.resolve_asset_graph().assets_defs
        if "warehouse" in asset.required_resource_keys
        and WAREHOUSE_SCHEMA not in asset.keys
        and WAREHOUSE_SCHEMA not in asset.keys_by_input_name.values()
        for key in asset.keys
    ]
    if unguarded:
        raise WarehouseAssetWithoutSchema(
            f"{', '.join(sorted(unguarded))} would not wait for {WAREHOUSE_SCHEMA.to_user_string()}: "
            "define them with @warehouse_asset"
        )
    return definitions


default_assets: Final = [warehouse_schema]
