"""Verification of the configured journal. If the journal is corrupt, the kill switch is engaged.

With a trade key the journal is also compared with the exchange's orders. ``audit.verification`` lists all checks.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditReport, AuditVerdict, verify
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.journal.errors import JournalOfAnotherEnvironment, JournalOutdated, JournalUnavailable
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.reconciliation.resolution import UNREADABLE
from kalshi_pipelines.execution.service.account.kill_switch import kill_switch
from kalshi_pipelines.execution.service.account.live_account import has_trade_key, live_account
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.migrations import SchemaNotAtHead

_MOST_TEXT: Final = 1_000


def verify_or_stop(
    settings: Settings, trade: TradeSettings, engine: sa.Engine, warehouse: Callable[[], sa.Engine]
) -> AuditReport:
    """Verify the journal. If the journal is corrupt, engage the kill switch.

    Args:
        settings: Settings of the environment.
        trade: Settings of trading. If they name a trade key, the exchange's orders are compared with the journal.
        engine: The journal's database.
        warehouse: Opens the warehouse, which keeps the rate budget for reads.
    """

    def journal() -> Journal:
        return Journal(engine, settings.environment, anchor_file=settings.resolved_journal_anchors)

    try:
        orders = _orders(settings, trade, journal(), warehouse) if has_trade_key(trade) else None
    except (JournalOutdated, JournalOfAnotherEnvironment, JournalUnavailable):
        report = verify(engine, settings.resolved_journal_anchors)
    except (*UNREADABLE, SchemaNotAtHead) as error:
        report = _without_exchange(verify(engine, settings.resolved_journal_anchors), str(error))
    else:
        report = verify(engine, settings.resolved_journal_anchors, orders)
    switch = kill_switch(settings, trade, journal)
    if report.verdict is AuditVerdict.CORRUPT and not switch.is_on_record():
        why = f"the journal is corrupt: {report.problems[0]}"
        switch.engage("verify-audit", why[:_MOST_TEXT], source="audit")
    return report


def _orders(
    settings: Settings, trade: TradeSettings, journal: Journal, warehouse: Callable[[], sa.Engine]
) -> list[ExchangeOrder]:
    """Read the exchange's orders since the sub-account's first live session in this journal."""
    with journal.reading() as reading:
        first_us = reading.sessions.first_live_session_us(trade.account(settings.environment))
    if first_us is None:
        return []
    with live_account(settings, trade, warehouse()) as account:
        found = ExchangeAccount(account.client, account.subaccount).orders(first_us)
    return [order for order in found.orders.values() if order.updated_us >= first_us]


def _without_exchange(report: AuditReport, why: str) -> AuditReport:
    """Return the report of a verification that could not read the exchange's orders.

    Its verdict is "could not run" even if no problem was found in the journal itself.
    """
    verdict = AuditVerdict.COULD_NOT_RUN if report.ok else report.verdict
    return replace(
        report, verdict=verdict, problems=(*report.problems, f"the exchange's orders could not be read: {why}")
    )
