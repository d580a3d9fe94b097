"""The job that stops trading, and the sensor that tells people of a stop."""

from typing import Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.alerts.outbox import Alert, put
from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import opened, require_configured_place
from kalshi_pipelines.defs.trading.metadata import halted
from kalshi_pipelines.defs.trading.tags import NO_RETRY, ONLY_ONCE
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.kill.switch import Engaged
from kalshi_pipelines.execution.service.kill_switch import engage, halt_now
from kalshi_pipelines.settings import AlertSeverity, InvalidSettings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead, require_head

#: A new journal begins engaged; that is no news.
_FIRST: Final = 1


class HaltConfig(dg.Config):
    """Who halts, and why; a click is enough."""

    by: str = Field(default="somebody in the Dagster UI", description="Your name.")
    why: str = Field(default="halt_trading was run", description="Why trading is to stop.")
    level: int = Field(default=1, ge=1, le=2, description="1: nothing new is sent. 2: cancel everything, too.")


@dg.op(name="engage_kill_switch")
def engage_kill_switch(context: dg.OpExecutionContext, journal: JournalResource, config: HaltConfig) -> None:
    """Stop all new risk; at level 2 cancel everything and fail unless it is proved that nothing rests."""
    require_configured_place(context.run)
    with report_expected_failures(context.log):
        if config.level == 1:
            engaged = engage(journal.settings, lambda: opened(journal), config.by, config.why)
            context.log.warning(f"the kill switch is engaged: {config.why}. {engaged.problem}")
            _require_in_journal(engaged, journal)
            return
        report = halt_now(journal.settings, lambda: opened(journal), config.by, config.why)
    context.log.warning(str(report))
    if not report.flat:
        raise dg.Failure(str(report), allow_retries=False)
    _require_in_journal(report.engaged, journal)


def _require_in_journal(engaged: Engaged, journal: JournalResource) -> None:
    """A run is no success if only what shares its folder is stopped: an executor may be on another computer.

    Raises:
        Failure: The engagement is not in the journal.
    """
    if engaged.seq is None:
        raise dg.Failure(
            f"The kill switch is not engaged in the journal ({engaged.problem}), at most in the folder "
            f"{journal.settings.environment_dir}: a program with another folder is not stopped. Halt where that runs.",
            allow_retries=False,
        )


@dg.job(
    description="Engage the kill switch: no order is sent any more. Level 2 also cancels everything and proves it.",
    tags=ONLY_ONCE,
    op_retry_policy=NO_RETRY,
)
def halt_trading() -> None:
    """Stop trading."""
    engage_kill_switch()


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def halted_sensor(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, journal: JournalResource
) -> dg.SkipReason:
    """Tells people, once, that the kill switch was engaged: by a person, a reconciliation or the executor."""
    try:
        require_head(warehouse.engine)
        with opened(journal).reading() as reading:
            kill = reading.halts.kill_state()
    except (
        InvalidSettings,
        JournalOfAnotherEnvironment,
        JournalOutdated,
        JournalUnavailable,
        SchemaNotAtHead,
    ) as error:
        return dg.SkipReason(str(error))
    if not kill.engaged or kill.seq == _FIRST or context.cursor == str(kill.seq):
        return dg.SkipReason("nothing new: " + ("engaged" if kill.engaged else "not engaged"))
    environment = journal.settings.environment.value
    alert = Alert(f"kill:{environment}:{kill.seq}", "halt", AlertSeverity.BREAKING, halted(kill, environment))
    with writing(warehouse.engine) as connection:
        put(connection, alert, now_us())
    context.update_cursor(str(kill.seq))
    return dg.SkipReason(f"told of event {kill.seq} of the kill switch")
