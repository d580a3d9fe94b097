"""Job that stops trading, and the sensor that alerts people when trading was stopped."""

from typing import Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.alerts.outbox import Alert, put
from kalshi_pipelines.defs.failures import report_expected_failures
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import journal_of, require_configured_place
from kalshi_pipelines.defs.trading.metadata import halt_message
from kalshi_pipelines.defs.trading.tags import NO_RETRY, ONLY_ONCE
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.kill.switch import EngagementRecord
from kalshi_pipelines.execution.service.kill_switch import engage, halt_now
from kalshi_pipelines.settings import AlertSeverity, InvalidSettings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead, require_head

#: Number of the kill switch's first event, which needs no alert: it engages the switch of every new journal.
_FIRST: Final = 1


class HaltConfig(dg.Config):
    """Run config: who stops trading, why, and whether to cancel orders. In an emergency, the defaults are enough."""

    by: str = Field(default="somebody in the Dagster UI", description="Your name.")
    why: str = Field(default="halt_trading was run", description="Why trading must stop.")
    level: int = Field(default=1, ge=1, le=2, description="1: no new order is sent. 2: also cancel every order.")


@dg.op(name="engage_kill_switch")
def engage_kill_switch(context: dg.OpExecutionContext, journal: JournalResource, config: HaltConfig) -> None:
    """Stop every new order. At level 2, also cancel all orders, and fail if an order may still rest."""
    require_configured_place(context.run)
    with report_expected_failures(context.log):
        if config.level == 1:
            engaged = engage(journal.settings, lambda: journal_of(journal), config.by, config.why)
            context.log.warning(f"The kill switch is engaged: {config.why}. {engaged.problem}")
            _require_in_journal(engaged, journal)
            return
        report = halt_now(journal.settings, lambda: journal_of(journal), config.by, config.why)
    context.log.warning(str(report))
    if not report.flat:
        raise dg.Failure(str(report), allow_retries=False)
    _require_in_journal(report.engaged, journal)


def _require_in_journal(engaged: EngagementRecord, journal: JournalResource) -> None:
    """Fail the run unless the journal records that the kill switch is engaged.

    A stop file alone does not reach an executor on another computer.

    Raises:
        Failure: The journal does not record the engagement.
    """
    if engaged.seq is None:
        raise dg.Failure(
            f"The kill switch is not engaged in the journal ({engaged.problem}), at most in the folder "
            f"{journal.settings.environment_dir}: a program with another folder is not stopped. Halt it where it runs.",
            allow_retries=False,
        )


@dg.job(
    description="Engage the kill switch: no more orders are sent. Level 2 also cancels all orders and proves it.",
    tags=ONLY_ONCE,
    op_retry_policy=NO_RETRY,
)
def halt_trading() -> None:
    """Stop trading."""
    engage_kill_switch()


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends one alert when a person, a reconciliation or the executor engages the kill switch.",
)
def halted_sensor(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, journal: JournalResource
) -> dg.SkipReason:
    """Queue an alert for a new engagement of the kill switch."""
    try:
        require_head(warehouse.engine)
        with journal_of(journal).reading() as reading:
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
        return dg.SkipReason("no new event: the kill switch is " + ("engaged" if kill.engaged else "not engaged"))
    environment = journal.settings.environment.value
    alert = Alert(f"kill:{environment}:{kill.seq}", "halt", AlertSeverity.BREAKING, halt_message(kill, environment))
    with writing(warehouse.engine) as connection:
        put(connection, alert, now_us())
    context.update_cursor(str(kill.seq))
    return dg.SkipReason(f"queued an alert about event {kill.seq} of the kill switch")
