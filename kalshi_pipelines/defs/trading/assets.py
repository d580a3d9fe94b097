"""Trading in Dagster: the inbox, the gated asset that hands it to the executor, and the jobs around it.

Thin: whether an order may be sent is decided in ``execution``. Here it is only decided whether a run may try
(``trading_gate``), and told what came of it. Nothing here is retried: a run is looked at by a person, then made anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.alerts.outbox import Alert, put
from kalshi_pipelines.defs.failures import one_sentence
from kalshi_pipelines.defs.resources import ExchangeResource, JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import journal_asset, opened, require_configured_place
from kalshi_pipelines.defs.schema.warehouse import JOURNAL_SCHEMA, WAREHOUSE_SCHEMA
from kalshi_pipelines.defs.trading.gate import ArmedByHand, Gate, gate_of
from kalshi_pipelines.defs.trading.metadata import audit_figures, decided, halted, reconciled, table, waiting
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.inbox.files import read_proposals
from kalshi_pipelines.execution.inbox.proposals import Proposer, propose
from kalshi_pipelines.execution.journal.errors import (
    JournalOfAnotherEnvironment,
    JournalOutdated,
    JournalUnavailable,
)
from kalshi_pipelines.execution.journal.records import Origin
from kalshi_pipelines.execution.kill.switch import Engaged
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.service.audit import verify_or_stop
from kalshi_pipelines.execution.service.kill_switch import engage, halt_now
from kalshi_pipelines.execution.service.live_account import has_trade_key, live_account
from kalshi_pipelines.execution.service.trading_session import FORGOTTEN_AFTER_US, Desk, TradingRun, trade
from kalshi_pipelines.execution.text import proposal_row
from kalshi_pipelines.settings import AlertSeverity, InvalidSettings
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead, require_head

#: Keeps Dagster from running one a second time.
ONLY_ONCE: Final = {"dagster/max_retries": "0", "dagster/retry_on_asset_or_op_failure": "false"}
#: And runs with this tag wait for each other (dagster.yaml); what stops one must not wait for it.
TRADES: Final = {"kalshi_pipelines/trades": "account", **ONLY_ONCE}
#: A new journal begins engaged; that is no news.
_FIRST: Final = 1
_ONCE: Final = dg.RetryPolicy(max_retries=0)
_ARMED: Final = "armed_by_hand"


class TradesByItself(Exception):
    """The definitions would let something else than a person's run reach the executor."""


class ImportedProposals(dg.Config):
    """A file of proposals, and who makes them. Without a file nothing is imported."""

    file: str = Field(default="", description="A .csv or .json file of proposals.")
    proposer: ActorKind = Field(default=ActorKind.PERSON, description="person, strategy or agent.")
    proposer_name: str = Field(default="", description="The name of who proposes.")


@journal_asset(kinds={"sql"})
def trade_proposals(
    context: dg.AssetExecutionContext, journal: JournalResource, config: ImportedProposals
) -> Iterator[Any]:
    """Orders that somebody wants: a table a person, a strategy or an agent inserts into. Nothing proposes by itself."""
    imported = 0
    if config.file:
        gate = _gate(context, ArmedByHand())
        if gate.origin is not Origin.BY_HAND:
            raise dg.Failure("A file is imported by a run that was started by hand only.", allow_retries=False)
        file = Path(config.file)
        orders = read_proposals(file, Proposer(config.proposer, config.proposer_name), instant(now_us()))
        imported = len(propose(journal.engine, orders, file.name))
    with opened(journal).reading() as reading:
        mode = TradeSettings.from_environment().mode
        rows = [proposal_row(row) for row in reading.pending_proposals(mode, now_us() - FORGOTTEN_AFTER_US)]
    yield dg.MaterializeResult(metadata={"imported": imported, "waiting": len(rows), "proposals": table(waiting, rows)})


@journal_asset(
    deps=[trade_proposals],
    kinds={"api"},
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            _ARMED, asset="executed_orders", description="Whether a person armed the run a moment ago, by hand."
        )
    ],
)
def executed_orders(
    context: dg.AssetExecutionContext,
    journal: JournalResource,
    warehouse: WarehouseResource,
    exchange: ExchangeResource,
    config: ArmedByHand,
) -> Iterator[Any]:
    """What became of proposals: placed, simulated, or denied and why. Does nothing unless its run was armed by hand."""
    gate = _gate(context, config)
    yield dg.AssetCheckResult(
        check_name=_ARMED,
        passed=gate.is_open,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"armed by {config.armed_by}" if gate.is_open else "; ".join(gate.closed_because),
    )
    if not gate.is_armed:
        context.log_event(_closed(context.asset_key, gate))
        return
    require_head(warehouse.engine)
    run = _traded(context, journal, warehouse, exchange, Opening(config.armed_by, gate.origin, config.why))
    facts = {**decided(run), "armed_by": config.armed_by, "why": config.why}
    if not gate.is_open:
        context.log_event(_closed(context.asset_key, gate, facts))
        return
    yield dg.MaterializeResult(metadata=facts)
    if not run.is_clean:
        raise dg.Failure(f"something is left to be looked at: {run.reconciliations[-1]}", allow_retries=False)


@journal_asset(
    kinds={"api"},
    output_required=False,
    # Not downstream of executed_orders: it has to look after a session that failed, and when there was none.
)
def order_reconciliation(
    context: dg.AssetExecutionContext, journal: JournalResource, warehouse: WarehouseResource
) -> Iterator[Any]:
    """The account compared with the journal: unknown orders resolved, foreign orders and drifted positions found."""
    settings = TradeSettings.from_environment()
    if not has_trade_key(settings):
        why = "no trade key is set, so there is no account to compare with"
        context.log_event(dg.AssetObservation(context.asset_key, description=why, metadata={"nothing was done": why}))
        return
    require_head(warehouse.engine)
    with live_account(journal.settings, settings, warehouse.engine) as account:
        report = account.reconciler(opened(journal)).reconcile()
    context.log.info(str(report))
    if not report.clean:
        context.log_event(dg.AssetObservation(context.asset_key, metadata=reconciled(report)))
        raise dg.Failure(f"The reconciliation is not clean. {report}", allow_retries=False)
    yield dg.MaterializeResult(metadata=reconciled(report))


def _gate(context: dg.AssetExecutionContext, armed: ArmedByHand) -> Gate:
    return gate_of(context.run, context.retry_number, armed, instant(now_us()))


def _closed(key: dg.AssetKey, gate: Gate, facts: dict[str, Any] | None = None) -> dg.AssetObservation:
    reasons = "\n".join(f"- {why}" for why in gate.closed_because)
    return dg.AssetObservation(
        key,
        description="nothing was sent",
        metadata={"nothing was sent": dg.MetadataValue.md(reasons), "origin": gate.origin.value, **(facts or {})},
    )


def _traded(
    context: dg.AssetExecutionContext,
    journal: JournalResource,
    warehouse: WarehouseResource,
    exchange: ExchangeResource,
    opening: Opening,
) -> TradingRun:
    settings = TradeSettings.from_environment()
    with exchange.client(warehouse.engine) as client:
        desk = Desk(journal.settings, settings, opened(journal), warehouse.engine, client, context.log.info)
        return trade(desk, opening)


@dg.op(name="verify_journal")
def verify_journal(context: dg.OpExecutionContext, journal: JournalResource, warehouse: WarehouseResource) -> None:
    """Verify the audit's chain, its anchors, and that everything in the journal follows from it."""
    require_configured_place(context.run)
    with one_sentence(context.log):
        report = verify_or_stop(
            journal.settings, TradeSettings.from_environment(), journal.engine, lambda: warehouse.engine
        )
    context.log.info(str(report))
    if not report.ok:
        raise dg.Failure(str(report), metadata=audit_figures(report), allow_retries=False)
    context.log_event(dg.AssetObservation(JOURNAL_SCHEMA, metadata=audit_figures(report)))


@dg.job(description="Whether the journal is what was written: chain, anchors, states, counters.")
def verify_audit() -> None:
    """Verify the journal of orders."""
    verify_journal()


class Halting(dg.Config):
    """Who halts, and why; a click is enough."""

    by: str = Field(default="somebody in the Dagster UI", description="Your name.")
    why: str = Field(default="halt_trading was run", description="Why trading is to stop.")
    level: int = Field(default=1, ge=1, le=2, description="1: nothing new is sent. 2: cancel everything, too.")


@dg.op(name="engage_kill_switch")
def engage_kill_switch(context: dg.OpExecutionContext, journal: JournalResource, config: Halting) -> None:
    """Stop all new risk; at level 2 cancel everything and fail unless it is proved that nothing rests."""
    require_configured_place(context.run)
    with one_sentence(context.log):
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
    op_retry_policy=_ONCE,
)
def halt_trading() -> None:
    """Stop trading."""
    engage_kill_switch()


trade_job: Final = dg.define_asset_job(
    "trade",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA, trade_proposals, executed_orders),
    description="Hand what is proposed to the executor. Acts only if armed by hand in the config of executed_orders.",
    tags=TRADES,
    op_retry_policy=_ONCE,
)


def require_by_hand(definitions: dg.Definitions) -> dg.Definitions:
    """The definitions, once it is certain that nothing in them trades by itself; the gate would refuse it anyway.

    Raises:
        TradesByItself: Says what would.
    """
    key = executed_orders.key
    node = definitions.resolve_asset_graph().get(key)
    repository = definitions.get_repository_def()
    trading = {job.name for job in repository.get_all_jobs() if key in job.asset_layer.selected_asset_keys}
    started = {schedule.job_name for schedule in repository.schedule_defs}
    started |= {target.job_name for sensor in repository.sensor_defs for target in sensor.targets}
    wrong = [
        *(f"job {name} selects it" for name in sorted(trading) if name != trade_job.name and not name.startswith("__")),
        *(f"a schedule or sensor starts {name}" for name in sorted(trading & started)),
        *(["it has an automation condition"] if node.automation_condition else []),
        *(["it has partitions, so it can be backfilled"] if node.partitions_def else []),
        *(["its step is retried"] if _retries(definitions) else []),
    ]
    if wrong:
        raise TradesByItself(f"{key.to_user_string()} must be run by a person only, but {'; '.join(wrong)}")
    return definitions


def _retries(definitions: dg.Definitions) -> bool:
    asset = definitions.resolve_assets_def(executed_orders.key)
    policy = asset.op.retry_policy
    return policy is not None and policy.max_retries > 0


reconcile: Final = dg.define_asset_job(
    "reconcile",
    selection=dg.AssetSelection.assets(WAREHOUSE_SCHEMA, JOURNAL_SCHEMA, order_reconciliation),
    description="Compare the account with the journal; fails if anything differs, and then the kill switch is engaged.",
    tags=TRADES,
    op_retry_policy=_ONCE,
)


@dg.schedule(job=reconcile, cron_schedule="*/10 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def reconcile_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Every ten minutes, where there is a trade key."""
    try:
        settings = TradeSettings.from_environment()
    except InvalidSettings as error:
        return dg.SkipReason(str(error))
    if not has_trade_key(settings):
        return dg.SkipReason("no trade key is set, so there is no account to compare with")
    return dg.RunRequest(run_key=f"reconcile:{context.scheduled_execution_time.isoformat()}")


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def halted_sensor(
    context: dg.SensorEvaluationContext, warehouse: WarehouseResource, journal: JournalResource
) -> dg.SkipReason:
    """Tells people, once, that the kill switch was engaged: by a person, a reconciliation or the executor."""
    try:
        require_head(warehouse.engine)
        with opened(journal).reading() as reading:
            kill = reading.kill()
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


default_assets: Final = [trade_proposals, executed_orders, order_reconciliation]
default_jobs: Final[list[Any]] = [trade_job, reconcile, halt_trading, verify_audit]
default_schedules: Final = [reconcile_schedule]
default_sensors: Final = [halted_sensor]
