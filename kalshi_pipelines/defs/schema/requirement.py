"""The rule that an asset runs after the schemas of its databases are upgraded, and the check of this rule."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Final

import dagster as dg

WAREHOUSE_SCHEMA: Final = dg.AssetKey("warehouse_schema")

JOURNAL_SCHEMA: Final = dg.AssetKey("journal_schema")

#: The name of each database resource, and the schema that must be upgraded before an asset uses the resource.
SCHEMA_OF: Final = {"warehouse": WAREHOUSE_SCHEMA, "journal": JOURNAL_SCHEMA}

#: Name of the job that upgrades the schemas. Only this job restores missing guards of the journal.
MIGRATE_JOB: Final = "migrate"

#: The tag of runs that read the exchange. dagster.yaml permits one such run at a time, because two runs would share one
#: rate budget and slow each other down.
READS_EXCHANGE: Final = {"kalshi_pipelines/reads": "exchange"}

OWNERS: Final = ["team:data"]

Body = Callable[..., Any]
Guard = Callable[[dg.AssetExecutionContext, Any], AbstractContextManager[None]]


class AssetWithoutSchema(Exception):
    """The error for an asset that uses a database but does not run after the asset that upgrades the database."""


def guarded_asset(
    schemas: Sequence[dg.AssetKey],
    resource: str,
    guard: Guard,
    **options: Any,  # noqa: ANN401
) -> Callable[[Body], dg.AssetsDefinition]:
    """Return a decorator like ``@dg.asset``, for an asset that runs after the given schemas and inside the given guard.

    Args:
        schemas: Assets that must be materialized first.
        resource: Name of the argument through which the decorated function receives the database resource.
        guard: Context manager around each call of the decorated function; raises if the database cannot be used.
        options: Passed to ``@dg.asset``.
    """
    deps = [*schemas, *options.pop("deps", [])]

    def decorate(body: Body) -> dg.AssetsDefinition:
        asset: dg.AssetsDefinition = dg.asset(deps=deps, owners=OWNERS, **options)(guarded(resource, guard, body))
        return asset

    return decorate


def guarded(resource: str, guard: Guard, body: Body) -> Body:
    """Return an asset's function, wrapped so that each call runs inside the guard of the asset's database."""

    @wraps(body)
    def run(context: dg.AssetExecutionContext, **arguments: Any) -> Iterator[Any]:  # noqa: ANN401
        with guard(context, arguments[resource]):
            result = body(context, **arguments)
            yield from [result] if isinstance(result, dg.MaterializeResult) else result

    return run


def require_schema_upstream(definitions: dg.Definitions) -> dg.Definitions:
    """Return the definitions if every asset that uses a database runs after the asset that upgrades the database.

    This check reads the inputs of each step, because an arrow in Dagster's graph does not prove the order. Dagster also
    draws an arrow for a dependency that was added after the asset was defined, but the asset's step ignores it.

    Raises:
        AssetWithoutSchema: Names the assets that would run too early.
    """
    unguarded = [
        f"{key.to_user_string()} would not wait for {schema.to_user_string()}: define it with @{resource}_asset"
        for asset in definitions.resolve_asset_graph().assets_defs
        for resource, schema in SCHEMA_OF.items()
        if resource in asset.required_resource_keys
        and schema not in asset.keys
        and schema not in asset.keys_by_input_name.values()
        for key in asset.keys
    ]
    if unguarded:
        raise AssetWithoutSchema("; ".join(sorted(unguarded)))
    return definitions
