"""The inbox of proposed orders: the only interface that a strategy or an agent gets, and the only one it needs.

A proposal is a row of text and integers. Code in this module cannot send an order: import-linter forbids imports of
transport, executor, kill switch and reconciliation. The module ``files`` reads files of proposals.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Final, TypeVar

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.engine import explain_failures
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.guards.names import INBOX_MOST_IN_DAY, INBOX_MOST_IN_SHORT, INBOX_SHORT_US
from kalshi_pipelines.execution.journal.tables import proposals
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.proposals import MOST_ATTEMPTS, ProposedOrder, Proposer, Signal
from kalshi_pipelines.execution.orders.signal_text import is_visible, normalise, normalised_order
from kalshi_pipelines.execution.orders.terms import (
    Action,
    Contracts,
    InvalidTerms,
    Leg,
    MarketTicker,
    Outcome,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines.units import MINUTE_US, now_us
from kalshi_pipelines.warehouse.engine import writing

#: The longest time from a proposal's ``as_of`` to its ``valid_until``. The journal's tables have the same limit.
LONGEST_VALIDITY: Final = dt.timedelta(minutes=10)
#: The largest number of characters in each text field of a proposal. The journal's tables have the same limits.
_LONGEST: Final = {
    "strategy": 200,
    "strategy_version": 200,
    "partition": 200,
    "signal": 400,
    "leg": 100,
    "actor_name": 200,
    "source": 200,
    "reason": 4_000,
}
_NEVER_EMPTY: Final = frozenset({"strategy", "signal", "leg", "actor_name"})
#: Fields that identify an order. Each entrance of the inbox brings their texts into the normal form of ``signal_text``.
_IDENTITY: Final = ("strategy", "strategy_version", "partition", "signal", "leg")

Choice = TypeVar("Choice", bound=StrEnum)


class InvalidProposals(ExpectedError, ValueError):
    """Proposals that cannot become orders, so nothing was stored.

    ``problems`` lists each wrong line or field with its problem.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("Nothing was stored:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = tuple(problems)


class InboxFull(ExpectedError):
    """The inbox takes no further proposal of this proposer now, so nothing was stored."""


#: The limits of what one proposer may store, by the names of the rules that the journal enforces.
_FULL: Final[Mapping[str, str]] = {
    "inbox_guard:full": f"it stored {INBOX_MOST_IN_SHORT:,} in the last {INBOX_SHORT_US // MINUTE_US} minutes",
    "inbox_guard:full_day": f"it stored {INBOX_MOST_IN_DAY:,} in the last 24 hours",
}


@dataclass(frozen=True, slots=True)
class ProposalTexts:
    """A proposal as people and files write it. Empty text means that a field was left out.

    Attributes:
        ticker: The market.
        action: ``buy`` or ``sell``.
        outcome: ``yes`` or ``no``.
        price: The price of a contract of the outcome in dollars, such as ``"0.5600"``.
        count: The number of contracts, such as ``"10"`` or ``"0.50"``.
        strategy: The rule that wants the order.
        signal: The observation that the rule acts on. Proposals of one proposer that agree in ``strategy``,
            ``strategy_version``, ``partition``, ``signal``, ``leg`` and ``attempt`` are the same order.
        as_of: The time of the data behind the proposal, in ISO 8601 with an offset.
        valid_until: The time after which the order must not be sent, at most ten minutes after ``as_of``.
        time_in_force: ``immediate_or_cancel`` (the default), ``fill_or_kill`` or ``good_till_canceled``.
        expires: When a ``good_till_canceled`` order ends. Such an order needs this time; others must not have it.
        post_only: ``true`` or ``false``.
        reduce_only: ``true`` or ``false``.
        open_short: ``true`` if a sale of more contracts than are held may turn the position, otherwise ``false``.
        strategy_version: The version of the rule.
        partition: The time window of the signal, such as a date.
        leg: The name of this order among several orders of one signal.
        attempt: The number of the attempt: 1, or more if an earlier attempt ended without a fill.
        reason: A note for people. No check reads it.
    """

    ticker: str = ""
    action: str = ""
    outcome: str = ""
    price: str = ""
    count: str = ""
    strategy: str = ""
    signal: str = ""
    as_of: str = ""
    valid_until: str = ""
    time_in_force: str = ""
    expires: str = ""
    post_only: str = ""
    reduce_only: str = ""
    open_short: str = ""
    strategy_version: str = ""
    partition: str = ""
    leg: str = ""
    attempt: str = ""
    reason: str = ""


FIELDS: Final = tuple(field.name for field in fields(ProposalTexts))
REQUIRED: Final = ("ticker", "action", "outcome", "price", "count", "strategy", "signal", "as_of", "valid_until")

#: The default values of proposal fields that may be left out.
DEFAULTS: Final[Mapping[str, str]] = {
    "time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL.value,
    "post_only": "false",
    "reduce_only": "false",
    "open_short": "false",
    "leg": "1",
    "attempt": "1",
}


def read_proposal(texts: ProposalTexts, proposer: Proposer) -> ProposedOrder:
    """Return the order that a written proposal describes.

    Raises:
        InvalidProposals: A field is missing or impossible. The error lists all such fields.
    """
    texts = normalised_texts(texts)
    proposer = replace(proposer, name=normalise(proposer.name))
    problems = [f"{name} is missing" for name in REQUIRED if name not in _NEVER_EMPTY and not getattr(texts, name)]
    problems += [
        problem for name, convert in _CONVERSIONS.items() for problem in _problems_of_term(texts, name, convert)
    ]
    problems += _problems_of_texts({**asdict(texts), "actor_name": proposer.name})
    if problems:
        raise InvalidProposals(problems)
    order = ProposedOrder(
        signal=Signal(
            texts.strategy,
            texts.strategy_version,
            texts.partition,
            texts.signal,
            texts.leg,
            _attempt(texts.attempt),
        ),
        ticker=MarketTicker(texts.ticker),
        leg=Leg(Action(texts.action), Outcome(texts.outcome), YesPrice.from_text(texts.price)),
        count=Contracts.from_text(texts.count),
        time_in_force=TimeInForce(texts.time_in_force),
        as_of=_instant(texts.as_of),
        valid_until=_instant(texts.valid_until),
        actor=proposer.kind,
        actor_name=proposer.name,
        post_only=_flag(texts.post_only),
        reduce_only=_flag(texts.reduce_only),
        expires=_instant(texts.expires) if texts.expires else None,
        open_short=_flag(texts.open_short),
        reason=normalise(texts.reason),
    )
    problems = _problems_of_order(order)
    if problems:
        raise InvalidProposals(problems)
    return order


def propose(
    engine: sa.Engine,
    orders: Sequence[ProposedOrder],
    source: str,
) -> tuple[int, ...]:
    """Store proposals in the inbox, all of them or none, and return their numbers in the same order.

    Args:
        engine: The journal, with its newest schema. A database login that may only insert proposals is enough.
        orders: The proposed orders.
        source: The origin of the proposals, for people: the name of a file or a program.

    Raises:
        InvalidProposals: The journal cannot store an order with these terms.
        InboxFull: The proposer has stored too many proposals.
        JournalUnavailable: The journal cannot be written.
        JournalRefused: The database refused a row.
    """
    orders, source = [normalised_order(order) for order in orders], normalise(source)
    problems = [
        f"proposal {number}: {problem}"
        for number, order in enumerate(orders, 1)
        for problem in (*_problems_of_order(order), *_problems_of_texts(_texts_of(order)))
    ]
    problems += _problems_of_text("source", source)
    if problems:
        raise InvalidProposals(problems)
    try:
        with explain_failures(engine), writing(engine) as connection:
            # On Postgres the server sets the time, and a login that may only propose cannot name this column.
            fixed: dict[str, object] = {"source": source}
            if engine.dialect.name == "sqlite":
                fixed["proposed_us"] = now_us()
            return tuple(
                connection.execute(
                    sa.insert(proposals).values(**fixed, **to_columns(order)).returning(proposals.c.proposal_id)
                ).scalar_one()
                for order in orders
            )
    except JournalRefused as error:
        if error.rule not in _FULL:
            raise
        raise InboxFull(
            f"The inbox takes no further proposals of this proposer: {_FULL[error.rule]}. Nothing was stored.",
            "Let a session decide about the stored proposals, and propose fewer.",
        ) from error


def _enum_converter(kind: type[Choice]) -> Callable[[str], Choice]:
    def convert(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{text[:80]!r} is not one of {', '.join(kind)}") from None

    return convert


def _instant(text: str) -> dt.datetime:
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not a time such as 2026-11-23T14:05:00Z") from None
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: add Z or an offset")
    return instant.astimezone(dt.UTC)


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"{text[:80]!r} is neither true nor false")
    return text == "true"


def _attempt(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MOST_ATTEMPTS):
        raise ValueError(f"{text[:80]!r} is not a number from 1 to {MOST_ATTEMPTS:,}")
    return int(text)


#: The fields of a proposal that are not free text, each with the function that parses it.
_CONVERSIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "ticker": MarketTicker,
    "action": _enum_converter(Action),
    "outcome": _enum_converter(Outcome),
    "price": YesPrice.from_text,
    "count": Contracts.from_text,
    "time_in_force": _enum_converter(TimeInForce),
    "as_of": _instant,
    "valid_until": _instant,
    "expires": _instant,
    "post_only": _flag,
    "reduce_only": _flag,
    "open_short": _flag,
    "attempt": _attempt,
}


def normalised_texts(texts: ProposalTexts) -> ProposalTexts:
    """Return a written proposal with the texts of its signal in their normal form, and with the default values."""
    texts = replace(texts, **{name: normalise(getattr(texts, name)) for name in _IDENTITY})
    left_out = {name: default for name, default in DEFAULTS.items() if not getattr(texts, name)}
    return replace(texts, **left_out)


def _problems_of_term(texts: ProposalTexts, name: str, convert: Callable[[str], object]) -> list[str]:
    text = getattr(texts, name)
    try:
        if text:
            convert(text)
    except (ValueError, InvalidTerms) as error:
        return [f"{name}: {error}"]
    return []


def _problems_of_texts(texts: Mapping[str, object]) -> list[str]:
    return [problem for name in _LONGEST if name in texts for problem in _problems_of_text(name, str(texts[name]))]


def _problems_of_text(name: str, text: str) -> list[str]:
    if not text and name in _NEVER_EMPTY:
        return [f"{name} is missing"]
    if len(text) > _LONGEST[name]:
        return [f"{name}: longer than {_LONGEST[name]:,} characters"]
    # Only the field ``reason`` may contain line ends. It identifies no order, so it may also contain emoji with their
    # invisible selectors. Other control characters are refused, because they would reach logs and terminals.
    is_fit = text.replace("\n", "").isprintable() if name == "reason" else is_visible(text)
    if not is_fit:
        return [f"{name}: it has characters that cannot be printed"]
    return []


def _problems_of_order(order: ProposedOrder) -> list[str]:
    problems = []
    if order.as_of.tzinfo is None or order.valid_until.tzinfo is None:
        return ["as_of and valid_until need a time zone"]
    if not dt.timedelta(0) < order.valid_until - order.as_of <= LONGEST_VALIDITY:
        problems.append("valid_until: must be after as_of, by at most 10 minutes")
    if (order.time_in_force is TimeInForce.GOOD_TILL_CANCELED) != (order.expires is not None):
        problems.append("expires: good_till_canceled orders need it, others must not have it")
    if order.post_only and order.time_in_force is not TimeInForce.GOOD_TILL_CANCELED:
        problems.append("post_only: only good_till_canceled orders can rest")
    if order.reduce_only and order.time_in_force is not TimeInForce.IMMEDIATE_OR_CANCEL:
        problems.append("reduce_only: only immediate_or_cancel orders can be reduce-only")
    if order.open_short and (order.reduce_only or order.leg.action is not Action.SELL):
        problems.append("open_short: only a sale that is not reduce-only can open a short position")
    return problems


def _texts_of(order: ProposedOrder) -> dict[str, object]:
    return {**to_columns(order.signal), "actor_name": order.actor_name, "reason": order.reason}
