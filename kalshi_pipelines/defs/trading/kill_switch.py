"""Job that stops trading, and the sensor that alerts people when trading was stopped."""

from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.alerts.outbox import Alert, put
from kalshi_pipelines.defs.resources import JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import journal_of, require_configured_place
from kalshi_pipelines.defs.trading.metadata import halt_message, halt_metadata
from kalshi_pipelines.defs.trading.tags import NO_RETRY, ONLY_ONCE
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.service.stopping.stop import StopRequest, stop
from kalshi_pipelines.execution.service.stopping.stop_settings import StopSettings
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
    """Stop every new order, in every journal that this computer's user can reach. At level 2, also cancel all orders.

    The run fails unless everything that was asked for is proved. Only the few settings that stopping needs are read, so
    that another setting cannot prevent the halt.
    """
    require_configured_place(context.run)
    settings = StopSettings.from_environment(env_file=None)
    if journal.data_dir:
        settings = settings.with_data_dir(Path(journal.data_dir))
    report = stop(settings, StopRequest(config.by, config.why, config.level))
    for line in report.lines():
        context.log.warning(line)
    shown = halt_metadata(report)
    if not report.succeeded:
        raise dg.Failure(report.last_line, metadata=shown, allow_retries=False)
    context.add_output_metadata(shown)


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
