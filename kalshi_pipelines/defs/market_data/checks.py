"""The asset check ``complete``: whether the exchange's lists showed every record that they should have shown.

The package ``ingest`` decides when a list is incomplete. The check runs after all reads of its run, and it does not
block them: quotes that are not read tonight cannot be read tomorrow.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from kalshi_pipelines.bookkeeping.list_reads import StoredRead, names_read_by, stored_reads
from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head

COMPLETE: Final = "complete"
_ASSETS: Final = ("series", "events", "markets", "orderbooks")


class IncompleteLists(dg.Failure):
    """The failure of a run that read an incomplete list. The finding about the list sends the alert."""


@dg.multi_asset_check(
    name="completeness",
    can_subset=True,
    specs=[
        dg.AssetCheckSpec(
            COMPLETE,
            asset=asset,
            additional_deps=[other for other in _ASSETS if other != asset],
            description=f"Passes if no list of {asset} omitted records that the exchange has, at its newest read.",
        )
        for asset in _ASSETS
    ],
)
def completeness(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
    """Show the problems of each list on its asset. The run fails if it read an incomplete list itself."""
    own: list[str] = []
    selected = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    with report_expected_failures(context.log), warehouse_at_head(warehouse):
        read_now = names_read_by(warehouse.engine, context.run.run_id)
        reads = {asset: stored_reads(warehouse.engine, asset) for asset in _ASSETS if asset in selected}
    for asset, lists in reads.items():
        broken = [f"{read.name}: {read.problem}" for read in lists if read.problem]
        own += [f"{read.name}: {read.problem}" for read in lists if read.problem and read.name in read_now]
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(asset),
            check_name=COMPLETE,
            passed=bool(lists) and not broken,
            severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
            description="\n".join(broken) or _sentence(lists),
            metadata={read.name: read.records for read in lists},
        )
    if own:
        problem = "\n".join(own)
        context.log.error(problem)
        raise IncompleteLists(description=problem, allow_retries=False)


def _sentence(lists: list[StoredRead]) -> str:
    if not lists:
        return "No list was read yet."
    return f"{len(lists)} lists were complete at their newest read."


default_checks: Final = [completeness]
