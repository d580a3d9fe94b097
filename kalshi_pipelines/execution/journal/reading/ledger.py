"""The class that reads the ledger.

The ledger holds the caps and counters of scopes, and the account's positions and open orders in each market.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.reading.rows import Row, all_rows
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import MarketStanding, Mode, ScopeKind, ScopeStanding
from kalshi_pipelines.execution.journal.tables import REALISED, scope_markets, scopes
from kalshi_pipelines.execution.orders.account import Account


class LedgerReading:
    """Reads the ledger over one connection."""

    def __init__(self, connection: sa.Connection, sessions: SessionReading) -> None:
        self._connection, self._sessions = connection, sessions

    def standings(self, account: Account, mode: Mode, keys: Mapping[ScopeKind, str]) -> list[ScopeStanding]:
        """Return caps and counters of the scopes with these kinds and keys.

        Scopes that were never used are left out.
        """
        wanted = [sa.and_(scopes.c.kind == kind.value, scopes.c.key == key) for kind, key in keys.items()]
        found = sa.select(scopes).where(
            scopes.c.environment == account.environment,
            scopes.c.subaccount == account.subaccount,
            scopes.c.mode == mode.value,
            sa.or_(sa.false(), *wanted),
        )
        return [_standing(row) for row in all_rows(self._connection, found.order_by(scopes.c.scope_id))]

    def live_scopes(self, account: Account, mode: Mode, day: str, hours: tuple[int, int]) -> list[ScopeStanding]:
        """Return the scopes that count orders now: live session, day, rolling hours, events and account.

        Scopes of events are left out if they have neither a possible loss nor a breach. ``day`` is the present trading
        day. ``hours`` are the first and last hour of the rolling window.
        """
        live = mode is Mode.LIVE
        table = scopes.c
        event = sa.or_(table.worst_microdollars != 0, table.breached == 1)
        wanted = {
            ScopeKind.SESSION: table.key == (self._sessions.live_session(account) if live else None),
            # While the clock was ahead, the journal may have opened a later day too early. The later day counts orders
            # until it ends, because the ledger never returns to an older day.
            ScopeKind.DAY: table.key >= day,
            ScopeKind.ROLLING: table.hour.between(*hours),
            ScopeKind.EVENT: event if live else sa.and_(event, table.key.endswith(f" {day}", autoescape=True)),
            ScopeKind.ACCOUNT: table.key == (ACCOUNT_KEY if live else day),
        }
        found = sa.select(scopes).where(
            table.environment == account.environment,
            table.subaccount == account.subaccount,
            table.mode == mode.value,
            sa.or_(*[sa.and_(table.kind == kind.value, which) for kind, which in wanted.items()]),
        )
        standings = [_standing(row) for row in all_rows(self._connection, found.order_by(table.scope_id))]
        of_kind = {kind: [each for each in standings if each.kind is kind] for kind in wanted}
        if hourly := of_kind[ScopeKind.ROLLING]:
            of_kind[ScopeKind.ROLLING] = [_summed(hourly)]
        return [each for kind in wanted for each in of_kind[kind]]

    def breached_scopes(self, account: Account, mode: Mode = Mode.LIVE) -> list[str]:
        """Return the scopes in which fills or other facts exceeded a cap, each as the text ``kind key``."""
        found = sa.select(scopes.c.kind, scopes.c.key).where(
            scopes.c.environment == account.environment,
            scopes.c.subaccount == account.subaccount,
            scopes.c.mode == mode.value,
            scopes.c.breached == 1,
        )
        return [f"{kind} {key}" for kind, key in self._connection.execute(found)]

    def exceeded_caps(self, account: Account) -> list[str]:
        """Return the caps of the newest live session that the account exceeds now.

        A scope that an earlier session opened with higher caps is also compared with the newest session's caps.

        Raises:
            JournalRefused: No live session of the sub-account was ever opened.
        """
        session_id = self._sessions.newest_live_session(account)
        caps = self._sessions.caps(session_id)
        position_cap = self._sessions.get(session_id)["position_cap_centicontracts"]
        found = self._connection.execute(
            sa.select(scopes.c.kind, scopes.c.key, scopes.c.worst_microdollars)
            .where(
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.mode == Mode.LIVE.value,
                scopes.c.kind.in_([ScopeKind.ACCOUNT.value, ScopeKind.EVENT.value, ScopeKind.DAY.value]),
            )
            .order_by(scopes.c.scope_id)
        )
        exceeded = [f"{kind} {key}" for kind, key, worst in found if worst > caps[kind]["worst_cap_microdollars"]]
        held = self.markets(account)
        return exceeded + [
            f"position {each.ticker}" for each in held if abs(each.position_centicontracts) > position_cap
        ]

    def markets(self, account: Account, key: str = "account") -> list[MarketStanding]:
        """Return the markets in which the account holds a position, an open order or a possible loss."""
        table = scope_markets.c
        found = (
            sa.select(scope_markets)
            .join(scopes, scopes.c.scope_id == table.scope_id)
            .where(
                scopes.c.kind == ScopeKind.ACCOUNT.value,
                scopes.c.environment == account.environment,
                scopes.c.subaccount == account.subaccount,
                scopes.c.mode == Mode.LIVE.value,
                scopes.c.key == key,
                sa.not_(table.ticker.startswith(REALISED)),
                sa.or_(
                    table.position_centicontracts != 0,
                    table.spent_microdollars != 0,
                    table.open_bids_centicontracts != 0,
                    table.open_asks_centicontracts != 0,
                    table.if_no_microdollars != 0,
                    table.if_yes_microdollars != 0,
                ),
            )
            .order_by(table.ticker)
        )
        return [
            MarketStanding(
                row["ticker"],
                row["position_centicontracts"],
                row["spent_microdollars"],
                row["open_bids_centicontracts"],
                row["open_asks_centicontracts"],
                row["if_no_microdollars"],
                row["if_yes_microdollars"],
            )
            for row in all_rows(self._connection, found)
        ]


def _standing(row: Row) -> ScopeStanding:
    return ScopeStanding(
        ScopeKind(row["kind"]),
        row["key"],
        Mode(row["mode"]),
        row["orders"],
        row["orders_cap"],
        row["notional_microdollars"],
        row["notional_cap_microdollars"],
        row["worst_microdollars"],
        row["worst_cap_microdollars"],
        bool(row["breached"]),
    )


def _summed(hours: Sequence[ScopeStanding]) -> ScopeStanding:
    """Return one scope that has the summed counters of the rolling window's hours, and the caps of the newest hour."""
    return replace(
        hours[-1],
        orders=sum(each.orders for each in hours),
        notional_microdollars=sum(each.notional_microdollars for each in hours),
        worst_microdollars=sum(each.worst_microdollars for each in hours),
        breached=any(each.breached for each in hours),
    )
