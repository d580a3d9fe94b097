"""What happens in a trial, drawn from its seed alone: orders, faults of the exchange, and when which process dies."""

import random
from dataclasses import dataclass
from typing import Any, Final

from kalshi_pipelines.execution.checkpoints import Checkpoint

PLACE: Final = "POST /portfolio/events/orders"
GROUPS: Final = "POST /portfolio/order_groups/create"
TRIGGER: Final = "PUT /portfolio/order_groups/{order_group_id}/trigger"
#: Points of an order's journey and of a recovery at which a process can be killed.
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
#: What can happen to a new order. Statuses are those after which nobody knows; that a refusal was one is the vendor's
#: word, so an order that is taken and answered 400 is not among them.
ORDER_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "refuse"},
    {"kind": "refuse", "reset": True},
    {"kind": "drop_after_apply"},
    {"kind": "drop_after_apply", "reset": True},
    {"kind": "status_after_apply", "status": 500},
    {"kind": "status_after_apply", "status": 503},
    {"kind": "status_after_apply", "status": 408},
    {"kind": "garbage_after_apply"},
    {"kind": "empty_after_apply"},
    {"kind": "applied_twice"},
    {"kind": "answered_twice"},
    {"kind": "wrong_echo", "field": "client_order_id"},
    {"kind": "wrong_echo", "field": "order_id"},
    {"kind": "delay", "seconds": 0.4, "hold": False},
    {"kind": "delay", "seconds": 1.2, "hold": False},
    {"kind": "delay", "seconds": 0.8, "hold": False, "reset": True},
    {"kind": "rate_limit"},
    {"kind": "server_error"},
)
OTHER_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"endpoint": GROUPS, "kind": "drop_after_apply"},
    {"endpoint": GROUPS, "kind": "garbage_after_apply"},
    {"endpoint": TRIGGER, "kind": "drop_after_apply"},
    {"endpoint": TRIGGER, "kind": "status_after_apply", "status": 503},
    {"endpoint": TRIGGER, "kind": "refuse"},
    {"endpoint": "GET /portfolio/orders", "kind": "truncated_json"},
    {"endpoint": "GET /portfolio/orders", "kind": "server_error"},
    {"endpoint": "GET /portfolio/fills", "kind": "stale_read", "seconds": 30},
    {"endpoint": "GET /portfolio/positions", "kind": "stale_read", "seconds": 30},
    {"endpoint": "GET /exchange/user_data_timestamp", "kind": "stale_read", "seconds": 30, "times": 3},
    {"endpoint": "GET /markets/{ticker}/orderbook", "kind": "server_error"},
)


@dataclass(frozen=True)
class OrderWanted:
    """An order of a trial; ``market`` counts the trial's markets, ``tick`` is cents away from the near side."""

    number: int
    market: int
    action: str
    outcome: str
    contracts: int
    rests: bool
    tick: int


@dataclass(frozen=True)
class Life:
    """A process: what the exchange does to it, and its end."""

    faults: tuple[dict[str, Any], ...]
    point: Checkpoint | None = None
    nth: int = 1
    after_ms: int | None = None
    killed_by_person_ms: int | None = None
    """When somebody engages the kill switch in another process."""


@dataclass(frozen=True)
class Plan:
    """A trial."""

    seed: int
    database: str
    orders: tuple[OrderWanted, ...]
    lives: tuple[Life, ...]
    session_orders: int
    day_orders: int
    session_loss_dollars: int
    account_loss_dollars: int


def plan_of(seed: int) -> Plan:
    """The trial of a seed: one in four on Postgres."""
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
        )
        for number in range(draw.randint(2, 6))
    )
    lives = [_life(draw, first=True)]
    while draw.random() < 0.5 and len(lives) < 3:
        lives.append(_life(draw, first=False))
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


def _life(draw: random.Random, *, first: bool) -> Life:
    faults = [
        {"endpoint": PLACE, "at": draw.randint(1, 3), **draw.choice(ORDER_FAULTS)}
        for _ in range(draw.choice((0, 1, 1, 2)))
    ]
    faults += [dict(draw.choice(OTHER_FAULTS)) for _ in range(draw.choice((0, 0, 0, 1, 2)))]
    person = draw.randint(0, 400) if draw.random() < 0.12 else None
    end = draw.random()
    if end < 0.65:
        common = _EARLY if first else _RECOVERY
        point = draw.choice(common if draw.random() < 0.75 else KILLING_POINTS)
        nth = draw.randint(1, 3) if first else draw.choice((1, 1, 2))
        return Life(tuple(faults), point=point, nth=nth, killed_by_person_ms=person)
    if end < 0.85:
        return Life(tuple(faults), after_ms=draw.randint(0, 600), killed_by_person_ms=person)
    return Life(tuple(faults), killed_by_person_ms=person)
