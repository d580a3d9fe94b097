"""The job ``backfill_history`` for ranges of days, and the job ``history`` that keeps history up every night."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.history.checks import COMPLETE, MOST_SHOWN, result_of
from kalshi_pipelines.defs.history.reading import guarded_history_inputs, metadata_of
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.defs.schema.warehouse import migrate_first
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.backfill import plan_backfill, run_backfill
from kalshi_pipelines.history.errors import HistoryIncomplete, InvalidRange
from kalshi_pipelines.history.fees.recording import record_fee_schedule
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.kinds import KINDS, kinds_named
from kalshi_pipelines.history.nightly import plan_upkeep
from kalshi_pipelines.history.partitions import partitions_of
from kalshi_pipelines.history.proof.checking import check_new_days
from kalshi_pipelines.history.proof.residuals import Verdict
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES

#: The tag of runs that read history. They may take hours, so they do not wait for the runs that read quotes, and those
#: do not wait for them. All share one rate budget.
READS_HISTORY: Final = {"kalshi_pipelines/reads": "history"}


class BackfillConfig(dg.Config):
    """Run config of a backfill."""

    start: str = Field(description="First day, such as 2026-11-01.")
    end: str = Field("", description="Last day, which is included. Leave empty to read until yesterday.")
    datasets: list[str] = Field(
        [], description=f"Kinds of history to read: {', '.join(sorted(KINDS))}. Leave empty to read all."
    )
    workers: int = Field(4, description="Number of days that are read at the same time, within one rate budget.")
    estimate_only: bool = Field(False, description="Only report the expected requests, tokens and time.")
    again: bool = Field(False, description="Also read days again that are complete.")


@dg.op(ins={"schema": dg.In(dg.Nothing)})
def read_history(
    context: dg.OpExecutionContext, config: BackfillConfig, warehouse: WarehouseResource, exchange: ExchangeResource
) -> list[str]:
    """Read a range of days, or only estimate the effort. Return a sentence for each problem."""
    problems: list[str] = []
    with guarded_history_inputs(context, warehouse, exchange) as inputs, _collect(context, problems):
        kinds = kinds_named(config.datasets)
        start = _day(config.start)
        end = _day(config.end) if config.end else min(each.today(inputs.clock()) for each in kinds) - dt.timedelta(1)
        plan = plan_backfill(inputs, kinds, start, end, workers=config.workers, again=config.again)
        if config.estimate_only:
            context.log.info(str(plan))
        else:
            run_backfill(inputs, plan, lambda reads: _materialized(context, inputs, reads))
    return problems


@dg.op(ins={"schema": dg.In(dg.Nothing)})
def keep_up_history(
    context: dg.OpExecutionContext, warehouse: WarehouseResource, exchange: ExchangeResource
) -> list[str]:
    """Record fee changes, take what is new, and check closed days. Return a sentence for each problem.

    Each step is done even if the step before it failed.
    """
    problems: list[str] = []
    with guarded_history_inputs(context, warehouse, exchange) as inputs:
        with _collect(context, problems):
            recorded = record_fee_schedule(inputs.client, inputs.engine)
            context.log_event(dg.AssetMaterialization("fee_schedule", metadata=vars(recorded)))
        with _collect(context, problems):
            plan = plan_upkeep(inputs, list(KINDS.values()))
            run_backfill(inputs, plan, lambda reads: _materialized(context, inputs, reads))
        with _collect(context, problems):
            _check_days(context, inputs)
    return problems


@dg.op(out=dg.Out(dg.Nothing))
def require_no_problems(context: dg.OpExecutionContext, problems: list[str]) -> None:
    """Fail if the reading of history had problems.

    This is an op of its own, because Dagster forgets the materializations that a failed op has logged.
    """
    with report_expected_failures(context.log):
        if problems:
            raise HistoryIncomplete(" ".join(problems), "Days that were read are in the lake. Run the job again.")


@contextmanager
def _collect(context: dg.OpExecutionContext, problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ExpectedError as error:
        context.log.warning(str(error))
        problems.append(str(error))


def _check_days(context: dg.OpExecutionContext, inputs: HistoryInputs) -> None:
    """Check closed days without a proof, and show the result on the asset. The run fails if rows are missing."""
    proofs = check_new_days(inputs)
    known = partitions_of(inputs.engine, PUBLIC_TRADES.name)
    found = [(proof.day, residual) for proof in proofs for residual in proof.residuals]
    result = result_of(known, found[:MOST_SHOWN], proofs)
    # An op cannot log the result of a check in its own run.
    context.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("public_trades"),
            check_name=COMPLETE,
            passed=bool(result.passed),
            severity=result.severity,
            description=result.description,
            metadata=result.metadata or {},
        )
    )
    missing = [proof for proof in proofs if proof.verdict is Verdict.MISSING]
    if missing:
        raise HistoryIncomplete(
            f"{len(missing)} checked days of public trades lack rows: {'; '.join(map(str, missing[:5]))}",
            "See the table history_residuals. Backfill the days again with again: true.",
        )


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InvalidRange(f"{text!r} is not a day.", "Write days as 2026-11-22.") from None


def _materialized(context: dg.OpExecutionContext, inputs: HistoryInputs, reads: Sequence[DayRead]) -> None:
    """Show a day that was read on its asset. The present day has no partition, because it is not over."""
    kinds = (each for each in KINDS.values() if each.read_span is None)
    kind = next((each for each in kinds if {one.dataset for one in reads} & {one.name for one in each.datasets}), None)
    if kind is None or reads[0].day >= kind.today(inputs.clock()):
        return
    partition = reads[0].day.isoformat()
    context.log_event(dg.AssetMaterialization(kind.name, partition=partition, metadata=metadata_of(reads)))


@dg.job(
    description="Read the history of a range of days into the lake, resumable at any point. With `estimate_only`, only "
    "report the expected requests, tokens and time.",
    tags=READS_HISTORY,
)
def backfill_history() -> None:
    """Backfill a range of days."""
    require_no_problems(read_history(migrate_first()))


@dg.job(
    description="Keep history up: take what is new of what was backfilled, read the newest time again, and close "
    "complete days.",
    tags=READS_HISTORY,
)
def history() -> None:
    """Do the nightly upkeep of history."""
    require_no_problems(keep_up_history(migrate_first()))


@dg.schedule(
    job=history,
    cron_schedule="0 2 * * *",
    execution_timezone="America/New_York",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Starts `history` at 02:00 New York time, after `nightly`.",
)
def history_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request one run of the job ``history`` for each night."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())


default_jobs: Final[list[Any]] = [backfill_history, history]

default_schedules: Final = [history_schedule]
