"""Assets of trading: the inbox of proposals, the executed orders, and the reconciliation with the account.

The package ``execution`` decides whether an order may be sent; ``gate`` decides whether a run may start
a trading session at all. Runs of these assets are never retried: a person looks at a failed run and then starts a new
one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from kalshi_pipelines.defs.resources import ExchangeResource, JournalResource, WarehouseResource
from kalshi_pipelines.defs.schema.journal import journal_asset, journal_of
from kalshi_pipelines.defs.tables import text_table
from kalshi_pipelines.defs.trading.gate import ArmedByHand, Gate, decide_gate
from kalshi_pipelines.defs.trading.metadata import PROPOSAL_COLUMNS, reconciliation_metadata, session_metadata
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.session import Opening
from kalshi_pipelines.execution.gates.arming import ONLY_RUN_ARMED, run_arming
from kalshi_pipelines.execution.inbox.files import read_proposals
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.persons import person_name
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.service.account.live_account import has_trade_key, live_account
from kalshi_pipelines.execution.service.sessions.inbox_selection import FORGOTTEN_AFTER_US, MOST_PROPOSALS
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, TradingRun, trade
from kalshi_pipelines.execution.text import proposal_row
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines.warehouse.migrations import require_head

_ARMED: Final = "armed_by_hand"


class ImportedProposals(dg.Config):
    """Run config: a file of proposals to import, and who proposes them. Without a file nothing is imported."""

    file: str = Field(
        default="", description="Path of a .csv or .json file of proposals. Leave empty to import nothing."
    )
    proposer: ActorKind = Field(default=ActorKind.PERSON, description="Kind of proposer: person, strategy or agent.")
    proposer_name: str = Field(default="", description="Name of the proposer.")


@journal_asset(kinds={"sql"})
def trade_proposals(
    context: dg.AssetExecutionContext, journal: JournalResource, config: ImportedProposals
) -> Iterator[Any]:
    """Orders proposed by a person, a strategy or an agent. Proposing never sends an order."""
    imported = 0
    if config.file:
        gate = _gate(context, ArmedByHand())
        if gate.origin is not Origin.BY_HAND:
            raise dg.Failure(
                "A file of proposals is imported only by a first run that a person started. Start a new run by hand.",
                allow_retries=False,
            )
        file = Path(config.file)
        orders = read_proposals(file, Proposer(config.proposer, config.proposer_name), instant(now_us()))
        imported = len(propose(journal.engine, orders, file.name))
    with journal_of(journal).reading() as reading:
        trade_settings, now = TradeSettings.from_environment(), now_us()
        account, mode = trade_settings.account(journal.settings.environment), trade_settings.mode
        since = now - FORGOTTEN_AFTER_US
        waiting = sum(each.count for each in reading.inbox.count(mode, since))
        found = reading.inbox.pending(account, mode, now, since, MOST_PROPOSALS)
    rows = [proposal_row(row) for row in found[:MOST_PROPOSALS]]
    yield dg.MaterializeResult(
        metadata={"imported": imported, "waiting": waiting, "proposals": text_table(PROPOSAL_COLUMNS, rows)}
    )


@journal_asset(
    deps=[trade_proposals],
    kinds={"api"},
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            _ARMED,
            asset="executed_orders",
            description="Passes if a person armed the run by its config and started it by hand within 15 minutes and, "
            "in live mode, if its process has an arm token. It does not prove that a session opens.",
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
    """Decision on each proposal: placed, simulated, or denied with a reason. Without an armed run, nothing happens.

    Only a first, manual run started within 15 minutes of `armed_at` can be live. Every other armed run is dry.
    """
    gate = _gate(context, config)
    yield _armed_check(gate, config)
    if not gate.is_armed:
        context.log_event(_closed_observation(context.asset_key, gate))
        return
    require_head(warehouse.engine)
    arming = run_arming(config.armed_by, config.armed_at, config.why, config.nonce)
    opening = Opening(person_name(config.armed_by), gate.origin, config.why, arming)
    run = _trade(context, journal, warehouse, exchange, opening)
    facts = {**session_metadata(run), "armed_by": config.armed_by, "why": config.why}
    if not gate.is_open:
        context.log_event(_closed_observation(context.asset_key, gate, facts))
        return
    yield dg.MaterializeResult(metadata=facts)
    if not run.is_clean:
        raise dg.Failure(f"A person must look at {run}: {run.reconciliations[-1]}", allow_retries=False)


@journal_asset(
    kinds={"api"},
    output_required=False,
    # This asset is not downstream of executed_orders, because it must also run after a failed session, and without any
    # session.
)
def order_reconciliation(
    context: dg.AssetExecutionContext, journal: JournalResource, warehouse: WarehouseResource
) -> Iterator[Any]:
    """Comparison of the account with the journal. Resolves unknown orders; finds foreign orders and wrong positions."""
    settings = TradeSettings.from_environment()
    if not has_trade_key(settings):
        why = "no trade key is set, so there is no account to compare with"
        context.log_event(dg.AssetObservation(context.asset_key, description=why, metadata={"nothing was done": why}))
        return
    require_head(warehouse.engine)
    with live_account(journal.settings, settings, warehouse.engine) as account:
        report = account.reconciler(journal_of(journal)).reconcile()
    context.log.info(str(report))
    if not report.clean:
        context.log_event(dg.AssetObservation(context.asset_key, metadata=reconciliation_metadata(report)))
        raise dg.Failure(f"The reconciliation is not clean. {report}", allow_retries=False)
    yield dg.MaterializeResult(metadata=reconciliation_metadata(report))


def _gate(context: dg.AssetExecutionContext, armed: ArmedByHand) -> Gate:
    return decide_gate(context.run, context.retry_number, armed, instant(now_us()))


def _armed_check(gate: Gate, config: ArmedByHand) -> dg.AssetCheckResult:
    """Return the check `armed_by_hand`, which tells what the run's config, origin and process permit."""
    problem = "; ".join(gate.closed_because)
    if gate.is_open:
        settings = TradeSettings.from_environment()
        if settings.mode is Mode.LIVE and settings.arm is None:
            problem = f"{ONLY_RUN_ARMED}. Start the run with `dagster job execute` in the armed shell."
    passed = f"armed by {config.armed_by} and started by hand; this check does not prove that a session opens"
    return dg.AssetCheckResult(
        check_name=_ARMED,
        passed=not problem,
        severity=dg.AssetCheckSeverity.WARN,
        description=problem or passed,
    )


def _closed_observation(key: dg.AssetKey, gate: Gate, facts: dict[str, Any] | None = None) -> dg.AssetObservation:
    reasons = "\n".join(f"- {why}" for why in gate.closed_because)
    return dg.AssetObservation(
        key,
        description="nothing was sent",
        metadata={"nothing was sent": dg.MetadataValue.md(reasons), "origin": gate.origin.value, **(facts or {})},
    )


def _trade(
    context: dg.AssetExecutionContext,
    journal: JournalResource,
    warehouse: WarehouseResource,
    exchange: ExchangeResource,
    opening: Opening,
) -> TradingRun:
    settings = TradeSettings.from_environment()
    with exchange.client(warehouse.engine, settings.api_key_id) as client:
        trading = TradingContext(
            journal.settings, settings, journal_of(journal), warehouse.engine, client, context.log.info
        )
        return trade(trading, opening)


default_assets: Final = [trade_proposals, executed_orders, order_reconciliation]
