"""The class that reads proposals that no session has decided about, in the order in which they should be decided.

The order is fair: no number of proposals of one proposer hides a proposal of another one.
"""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.reading.rows import Row, all_rows
from kalshi_pipelines.execution.journal.records import Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import attempts, proposals, scope_markets, scopes
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.proposals import ActorKind, ProposedOrder, Proposer, Signal
from kalshi_pipelines.execution.orders.terms import Action, Outcome

_p: Final = proposals.c
#: The order in which the kinds of proposers are served.
_RANK: Final = sa.case({kind.value: place for place, kind in enumerate(ActorKind)}, value=_p.actor_kind)
#: A login that may only propose takes one turn, whatever names it uses.
_PROPOSER: Final = sa.case((_p.login != "", _p.login), else_=_p.actor_name)
_IS_ASK: Final = (_p.action == Action.SELL.value) == (_p.outcome == Outcome.YES.value)


@dataclass(frozen=True, slots=True)
class PendingCount:
    """The number of undecided proposals of one proposer. A login that may only propose counts as one proposer."""

    kind: str
    name: str
    count: int


class InboxReading:
    """Reads pending proposals over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def pending(self, account: Account, mode: Mode, now_us: int, not_before_us: int, limit: int = 100) -> list[Row]:
        """Return the proposals that no session of this mode has attempted yet, in the order of their turns.

        Persons come first, then strategies, then agents; expired proposals come last. Within each kind, orders that
        only reduce a position of the account come first, and the proposers take turns. At most ``limit`` proposals are
        returned of each kind, valid and expired, closing and opening. Each row has two more columns: ``is_late`` and
        ``closes``. Proposals that expired before ``not_before_us`` are left out.
        """
        held = _positions(account)
        closes = _closes(held.c.position_centicontracts)
        late = sa.case((_p.valid_until_us < now_us, 1), else_=0)
        turn = sa.func.row_number().over(
            partition_by=[late, _RANK, _PROPOSER, closes], order_by=[_p.reduce_only.desc(), _p.proposal_id]
        )
        turns = (
            sa.select(_p.proposal_id, late.label("is_late"), _RANK.label("rank"), closes.label("closes"))
            .add_columns(_p.reduce_only, turn.label("turn"))
            .outerjoin_from(proposals, held, held.c.ticker == _p.ticker)
            .where(*_is_pending(mode, not_before_us))
            .subquery("turns")
        )
        by_turn = [turns.c.turn, turns.c.reduce_only.desc(), turns.c.proposal_id]
        classes = [turns.c.is_late, turns.c.rank, turns.c.closes.desc()]
        place = sa.func.row_number().over(partition_by=[*classes[:2], turns.c.closes], order_by=by_turn)
        places = sa.select(turns, place.label("place")).subquery("places")
        found = (
            sa.select(proposals, places.c.is_late, places.c.closes)
            .join(places, places.c.proposal_id == _p.proposal_id)
            .where(places.c.place <= limit)
            .order_by(places.c.is_late, places.c.rank, places.c.closes.desc(), places.c.place)
        )
        return all_rows(self._connection, found)

    def count(self, mode: Mode, not_before_us: int) -> list[PendingCount]:
        """Return how many proposals of each proposer are pending, starting with the largest number."""
        number, proposer = sa.func.count(), _PROPOSER
        found = (
            sa.select(_p.actor_kind, proposer, number)
            .where(*_is_pending(mode, not_before_us))
            .group_by(_p.actor_kind, proposer)
            .order_by(number.desc(), _p.actor_kind, proposer)
        )
        return [PendingCount(*row) for row in self._connection.execute(found)]

    def number_of(self, order: ProposedOrder, mode: Mode, now_us: int) -> int | None:
        """Return the number of a valid pending proposal with this proposer, signal and attempt, or None."""
        texts = {**to_columns(order.signal), "actor_kind": order.actor.value, "actor_name": order.actor_name}
        found: int | None = self._connection.scalar(
            sa.select(_p.proposal_id)
            .where(*_is_pending(mode, now_us), *[_p[name] == value for name, value in texts.items()])
            .order_by(_p.proposal_id)
            .limit(1)
        )
        return found

    def proposers_of(self, signal: Signal) -> list[Proposer]:
        """Return the proposers that have proposed any attempt of a signal, in the order of their names."""
        texts = {name: value for name, value in to_columns(signal).items() if name != "attempt"}
        found = (
            sa.select(_p.actor_kind, _p.actor_name)
            .where(*[_p[name] == value for name, value in texts.items()])
            .distinct()
            .order_by(_p.actor_name, _p.actor_kind)
        )
        return [Proposer(ActorKind(kind), name) for kind, name in self._connection.execute(found)]


def _is_pending(mode: Mode, not_before_us: int) -> list[sa.ColumnElement[bool]]:
    tried = sa.exists().where(attempts.c.proposal_id == _p.proposal_id, attempts.c.mode == mode.value)
    return [~tried, _p.valid_until_us >= not_before_us]


def _positions(account: Account) -> sa.Subquery:
    """Return the account's live positions by market. A dry run is judged by them, too."""
    return (
        sa.select(scope_markets.c.ticker, scope_markets.c.position_centicontracts)
        .join(scopes, scopes.c.scope_id == scope_markets.c.scope_id)
        .where(
            scopes.c.kind == ScopeKind.ACCOUNT.value,
            scopes.c.environment == account.environment,
            scopes.c.subaccount == account.subaccount,
            scopes.c.mode == Mode.LIVE.value,
            scopes.c.key == ACCOUNT_KEY,
            scope_markets.c.position_centicontracts != 0,
        )
        .subquery("held")
    )


def _closes(position: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Return 1 for a proposal that only reduces a position of the account, and otherwise 0.

    A flag of the proposal is no evidence by itself, because any proposer can set it.
    """
    fits = sa.or_(_p.reduce_only == 1, _p.count_centicontracts <= sa.func.abs(position))
    reduces = sa.or_(sa.and_(position > 0, _IS_ASK), sa.and_(position < 0, ~_IS_ASK))
    return sa.case((sa.and_(reduces, fits), 1), else_=0)
