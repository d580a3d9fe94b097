"""The plan of a trial, drawn from its seed alone: orders, faults of the exchange, and the deaths of processes."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from kalshi_pipelines.execution.orders.checkpoints import Checkpoint

PLACE: Final = "POST /portfolio/events/orders"
GROUPS: Final = "POST /portfolio/order_groups/create"
TRIGGER: Final = "PUT /portfolio/order_groups/{order_group_id}/trigger"
#: Checkpoints of an order and of a reconciliation at which a process may be killed.
KILLING_POINTS: Final = tuple(point for point in Checkpoint if point is not Checkpoint.CANCELS_SENT)
_RECOVERY: Final = (
    Checkpoint.LEFTOVERS_MARKED,
    Checkpoint.FENCED,
    Checkpoint.FENCE_COMMITTED,
    Checkpoint.SWEPT,
    Checkpoint.RESOLVED,
)
_EARLY: Final = (
    Checkpoint.INPUTS_READ,
    Checkpoint.ADMITTED,
    Checkpoint.SENDING_COMMITTED,
    Checkpoint.ANSWERED,
    Checkpoint.ANSWER_COMMITTED,
)
CANCEL_ALL: Final = "DELETE /portfolio/events/orders"
CANCEL: Final = "DELETE /portfolio/events/orders/{order_id}"
#: Faults of an order request. The faults in one tuple happen together. After each HTTP status in this list, it is
#: unknown whether the order was accepted. The executor trusts a 400 and the fill count of an answer, so no fault
#: sends a false 400 or a false fill count.
ORDER_FAULTS: Final[tuple[tuple[dict[str, Any], ...], ...]] = (
    ({"kind": "refuse"},),
    ({"kind": "refuse", "reset": True},),
    ({"kind": "drop_after_apply"},),
    ({"kind": "drop_after_apply", "reset": True},),
    ({"kind": "status_after_apply", "status": 500},),
    ({"kind": "status_after_apply", "status": 502},),
    ({"kind": "status_after_apply", "status": 503},),
    ({"kind": "status_after_apply", "status": 408},),
    ({"kind": "status_after_apply", "status": 409},),
    ({"kind": "status_after_apply", "status": 429},),
    ({"kind": "garbage_after_apply"},),
    ({"kind": "empty_after_apply"},),
    ({"kind": "truncated_json"},),
    ({"kind": "cut_connection"},),
    ({"kind": "applied_twice"},),
    ({"kind": "answered_twice"},),
    ({"kind": "wrong_echo"},),
    ({"kind": "wrong_echo", "field": "client_order_id"},),
    ({"kind": "wrong_echo", "field": "order_id"},),
    ({"kind": "delay", "seconds": 0.4, "hold": False},),
    ({"kind": "delay", "seconds": 1.2, "hold": False},),
    ({"kind": "delay", "seconds": 0.8, "hold": False, "reset": True},),
    ({"kind": "delay", "seconds": 0.8}, {"kind": "status_after_apply", "status": 504}),
    ({"kind": "delay", "seconds": 0.6}, {"kind": "status_after_apply", "status": 429}),
    ({"kind": "delay", "seconds": 0.8, "hold": False}, {"kind": "applied_twice"}),
    ({"kind": "clock_skew", "seconds": 4},),
    ({"kind": "clock_skew", "seconds": -40},),
    ({"kind": "latency", "seconds": 0.3},),
    ({"kind": "rate_limit"},),
    ({"kind": "server_error"},),
    ({"kind": "html_error"},),
)
OTHER_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"endpoint": GROUPS, "kind": "drop_after_apply"},
    {"endpoint": GROUPS, "kind": "garbage_after_apply"},
    {"endpoint": GROUPS, "kind": "status_after_apply", "status": 429},
    {"endpoint": TRIGGER, "kind": "drop_after_apply"},
    {"endpoint": TRIGGER, "kind": "status_after_apply", "status": 503},
    {"endpoint": TRIGGER, "kind": "clock_skew", "seconds": -3},
    {"endpoint": TRIGGER, "kind": "refuse"},
    {"endpoint": "GET /portfolio/orders", "kind": "truncated_json"},
    {"endpoint": "GET /portfolio/orders", "kind": "server_error"},
    {"endpoint": "GET /portfolio/orders", "kind": "repeated_cursor"},
    {"endpoint": "GET /portfolio/fills", "kind": "stale_read", "seconds": 30},
    {"endpoint": "GET /portfolio/positions", "kind": "stale_read", "seconds": 30},
    {"endpoint": "GET /exchange/user_data_timestamp", "kind": "stale_read", "seconds": 30, "times": 3},
    {"endpoint": "GET /markets/{ticker}/orderbook", "kind": "server_error"},
)
#: Faults that only a halt meets, in addition to the other faults.
HALT_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"endpoint": CANCEL_ALL, "kind": "drop_after_apply"},
    {"endpoint": CANCEL_ALL, "kind": "refuse"},
    {"endpoint": CANCEL_ALL, "kind": "rate_limit", "times": 2},
    {"endpoint": CANCEL_ALL, "kind": "status_after_apply", "status": 503},
    {"endpoint": CANCEL, "kind": "status_after_apply", "status": 429},
    {"endpoint": TRIGGER, "kind": "rate_limit", "times": 2},
)


class Incident(StrEnum):
    """An event between two trading processes that the executor did not cause."""

    AMENDED = "order amended by hand"
    CANCELED = "order canceled by hand"
    FOREIGN_ORDER = "foreign order"
    FOREIGN_TRADE = "foreign trade"
    RESTORED = "journal restored"
    LOST = "journal lost"


@dataclass(frozen=True)
class OrderWanted:
    """An order of a trial. ``market`` is the market's number, ``tick`` the distance from the bid or ask in cents."""

    number: int
    market: int
    action: str
    outcome: str
    contracts: int
    rests: bool
    tick: int
    centi: int = 0
    """Hundredths of a contract that are subtracted from ``contracts``."""


@dataclass(frozen=True)
class Life:
    """A trading process of a trial: the faults it meets, and when it is killed."""

    faults: tuple[dict[str, Any], ...]
    point: Checkpoint | None = None
    nth: int = 1
    after_ms: int | None = None
    killed_by_person_ms: int | None = None
    """Milliseconds until a person engages the kill switch in another process."""
    halted_by_person_ms: int | None = None
    """Milliseconds until a person halts trading in another process. A halt cancels orders until none rests."""
    incident: Incident | None = None
    """The incident after this process has ended."""


@dataclass(frozen=True)
class Plan:
    """The orders, trading processes and caps of a trial."""

    seed: int
    database: str
    orders: tuple[OrderWanted, ...]
    lives: tuple[Life, ...]
    session_orders: int
    day_orders: int
    session_loss_dollars: int
    account_loss_dollars: int


def plan_of(seed: int) -> Plan:
    """Return the plan of the trial with this seed. Every fourth trial uses Postgres."""
    draw = random.Random(f"trial {seed}")
    orders = tuple(
        OrderWanted(
            number=number,
            market=draw.randrange(3),
            action=draw.choice(("buy", "buy", "sell")),
            outcome=draw.choice(("yes", "no")),
            contracts=draw.randint(1, 8),
            rests=draw.random() < 0.45,
            tick=draw.randint(0, 3),
            centi=draw.choice((0, 0, 0, 1, 37, 99)),
        )
        for number in range(draw.randint(2, 6))
    )
    lives = [_life(draw, first=True)]
    while draw.random() < 0.5 and len(lives) < 3:
        lives.append(_life(draw, first=False))
    lives = [replace(life, incident=_incident(seed, number)) for number, life in enumerate(lives)]
    return Plan(
        seed=seed,
        database="postgres" if seed % 4 == 3 else "sqlite",
        orders=orders,
        lives=tuple(lives),
        session_orders=draw.randint(1, 6),
        day_orders=draw.randint(2, 8),
        session_loss_dollars=draw.choice((3, 6, 12, 200)),
        account_loss_dollars=draw.choice((5, 10, 20, 1000)),
    )


def _incident(seed: int, number: int) -> Incident | None:
    # A generator of its own keeps the orders and faults of each seed as they were before there were incidents.
    draw = random.Random(f"incident {seed} {number}")
    return draw.choice(tuple(Incident)) if draw.random() < 0.35 else None


def _life(draw: random.Random, *, first: bool) -> Life:
    faults: list[dict[str, Any]] = []
    for _ in range(draw.choice((0, 1, 1, 2))):
        at = draw.randint(1, 3)
        faults += [{"endpoint": PLACE, "at": at, **fault} for fault in draw.choice(ORDER_FAULTS)]
    faults += [dict(draw.choice(OTHER_FAULTS)) for _ in range(draw.choice((0, 0, 0, 1, 2)))]
    person = draw.randint(0, 400) if draw.random() < 0.12 else None
    halt = draw.randint(50, 700) if draw.random() < 0.12 else None
    if halt is not None:
        faults += [dict(draw.choice(HALT_FAULTS)) for _ in range(draw.choice((0, 1, 2)))]
    life = Life(tuple(faults), killed_by_person_ms=person, halted_by_person_ms=halt)
    end = draw.random()
    if end < 0.65:
        common = _EARLY if first else _RECOVERY
        point = draw.choice(common if draw.random() < 0.75 else KILLING_POINTS)
        nth = draw.randint(1, 3) if first else draw.choice((1, 1, 2))
        return replace(life, point=point, nth=nth)
    if end < 0.85:
        return replace(life, after_ms=draw.randint(0, 600))
    return life
