"""The asset check ``complete`` of public trades: whether independent witnesses agree with the days in the lake."""

import datetime as dt
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.history.assets import public_trades
from kalshi_pipelines.defs.history.reading import history_inputs
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import warehouse_at_head
from kalshi_pipelines.history.partitions import Partition, partitions_of
from kalshi_pipelines.history.proof.checking import check_day
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.recording import FIGURES, residuals_of
from kalshi_pipelines.history.proof.residuals import Proof, Residual, State, Verdict
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES

COMPLETE: Final = "complete"
#: The Dagster UI shows so many differences. The table ``history_residuals`` has all.
MOST_SHOWN: Final = 200
_COLUMNS: Final = ("day", "ticker", "kind", "state", "expected", "found", "explanation")


@dg.asset_check(asset=public_trades, name=COMPLETE)
def complete(
    context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> dg.AssetCheckResult:
    """Passes if volumes of settled markets and candlesticks agree with every day that was checked.

    A run of partitions checks its days. A run without a partition checks the closed days that have no proof. Each
    result counts the days of all partitions.
    """
    with report_expected_failures(context.log), warehouse_at_head(warehouse):
        with history_inputs(context, warehouse, exchange) as inputs:
            known = partitions_of(warehouse.engine, PUBLIC_TRADES.name)
            proofs: list[Proof] = []
            for day in _days(context, known):
                proofs.append(check_day(ProofInputs.of(inputs), day))
                context.log.info(str(proofs[-1]))
        known = partitions_of(warehouse.engine, PUBLIC_TRADES.name)
        shown = _residuals(warehouse, known)
    return result_of(known, shown, proofs)


def _days(context: dg.AssetCheckExecutionContext, known: list[Partition]) -> list[dt.date]:
    if context.has_partition_key or context.has_partition_key_range:
        return [dt.date.fromisoformat(key) for key in context.partition_keys]
    return [each.day for each in known if each.status == "closed" and each.proof == Verdict.NOT_CHECKED]


def _residuals(warehouse: WarehouseResource, known: list[Partition]) -> list[tuple[dt.date, Residual]]:
    """Return the first differences of all days. Those that nothing explains come first."""
    days = [each for each in known if each.proof != Verdict.PROVED]
    days.sort(key=lambda each: (each.proof != Verdict.MISSING, each.day))
    found: list[tuple[dt.date, Residual]] = []
    for each in days:
        if len(found) >= MOST_SHOWN:
            break
        of_day = residuals_of(warehouse.engine, PUBLIC_TRADES.name, each.day)
        found += [(each.day, residual) for residual in of_day]
    return sorted(found, key=lambda pair: (pair[1].state is not State.MISSING, pair))[:MOST_SHOWN]


def result_of(
    known: list[Partition], residuals: list[tuple[dt.date, Residual]], proofs: list[Proof]
) -> dg.AssetCheckResult:
    """Return the result for all days: an error if something is missing, a warning if all differences are explained."""
    days = {verdict: sum(each.proof == verdict for each in known) for verdict in Verdict}
    has_missing = days[Verdict.MISSING] > 0 or any(each.verdict is Verdict.MISSING for each in proofs)
    unchecked = any(each.verdict is Verdict.NOT_CHECKED for each in proofs)
    metadata: dict[str, Any] = {f"days_{verdict}": number for verdict, number in days.items()}
    metadata["holes"] = sum(each.holes for each in known)
    for name in ("minutes_compared", "minutes_that_differ", "volumes_compared", "volumes_equal", "differences_missing"):
        metadata[name] = sum(int(each.figures.get(FIGURES, {}).get(name, 0)) for each in known)
    if residuals:
        metadata["differences"] = _table(residuals)
    lines = [str(each) for each in proofs if each.verdict is not Verdict.PROVED]
    counted = ", ".join(f"{number:,} {verdict.replace('_', ' ')}" for verdict, number in days.items() if number)
    return dg.AssetCheckResult(
        passed=not has_missing and not unchecked and not days[Verdict.EXPLAINED],
        severity=dg.AssetCheckSeverity.ERROR if has_missing else dg.AssetCheckSeverity.WARN,
        description="\n".join([f"Days of public trades: {counted or 'none was read'}", *lines]),
        metadata=metadata,
    )


def _table(residuals: list[tuple[dt.date, Residual]]) -> dg.TableMetadataValue:
    records = []
    for day, each in residuals:
        values = (str(day), each.ticker, each.kind, str(each.state), each.expected, each.found, each.explanation)
        records.append(dg.TableRecord({name: value or "" for name, value in zip(_COLUMNS, values, strict=True)}))
    columns = [dg.TableColumn(name, "string") for name in _COLUMNS]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


default_checks: Final = [complete]
