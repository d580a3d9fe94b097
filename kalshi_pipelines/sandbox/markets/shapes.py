"""Division of an event into markets: outcomes, strikes and fair prices, according to the event's theme.

Belongs here: making one market for each side of a game, for each price threshold, for each range, or for each
competitor. Does not belong here: dates, statuses and price paths. Prices are in centi-cents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from uuid import UUID

from kalshi_pipelines.sandbox.markets.generated import MarketOutcome
from kalshi_pipelines.sandbox.markets.generated_events import EventText
from kalshi_pipelines.sandbox.markets.themes import CITIES, PEOPLE, WORDS, Theme


@dataclass(frozen=True, slots=True)
class EventShape:
    """Parts of an event that do not depend on dates: its ticker suffix, its wording, its outcomes and their fair
    prices.
    """

    suffix: str
    text: EventText
    outcomes: Sequence[tuple[MarketOutcome, int]]
    exclusive: bool


def shape_event(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    """Create an event of a theme about a subject. ``day`` is a date in the format of tickers, such as ``26NOV22``."""
    return _SHAPES[theme.shape](theme, subject, day, rng)


def _code(name: str) -> str:
    return "".join(letter for letter in name.upper() if "A" <= letter <= "Z")[:4] or "X"


def _number(hundredths: int) -> int | float:
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100


def _uuid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def _game(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    other = rng.choice([city for city in CITIES if _code(city) != _code(subject)])
    kind = theme.tags[0].lower() if theme.tags else "game"
    fair = rng.randrange(800, 9_200)
    outcomes = [
        (
            MarketOutcome(
                _code(team), team, {"custom_strike": {f"{kind}_team": _uuid(rng)}, "strike_type": "structured"}
            ),
            price,
        )
        for team, price in ((subject, fair), (other, 10_000 - fair))
    ]
    text = EventText(f"{other} at {subject}", f"{_code(other)} vs {_code(subject)} ({day})")
    return EventShape(_code(other) + _code(subject), text, outcomes, exclusive=True)


def _ladder(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    count = rng.randrange(3, 16)
    step = rng.choice((25, 50, 100, 250, 1_000))
    lowest = step * rng.randrange(1, 60)
    below = rng.random() < 0.2
    or_equal = rng.random() < 0.25
    kind = ("less" if below else "greater") + ("_or_equal" if or_equal else "")
    bound = "cap_strike" if below else "floor_strike"
    outcomes = []
    for rung in range(count):
        strike = _number(lowest + rung * step)
        fair = 9_600 * (count - rung) // (count + 1)
        words = (
            f"{'At most' if below and or_equal else 'Below' if below else 'At least' if or_equal else 'Above'} {strike}"
        )
        outcome = MarketOutcome(f"T{strike}", f"{words} {theme.unit}".strip(), {bound: strike, "strike_type": kind})
        outcomes.append((outcome, 10_000 - fair if below else fair))
    return EventShape("", EventText(theme.title.format(subject), day), outcomes, exclusive=False)


def _buckets(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    inner = rng.randrange(4, 19)
    width = rng.choice((100, 200, 500, 25_000))
    lowest = width * rng.randrange(10, 400)
    top = lowest + inner * width
    centre = rng.randrange(inner)
    weights = [1_000 // (1 + (rung - centre) ** 2) + 5 for rung in range(-1, inner + 1)]
    first = MarketOutcome(
        f"T{_number(lowest)}",
        f"Below {_number(lowest)}{theme.unit}",
        {"cap_strike": _number(lowest), "strike_type": "less"},
    )
    outcomes = [first]
    for rung in range(inner):
        floor, cap = _number(lowest + rung * width), _number(lowest + (rung + 1) * width - 1)
        strike: dict[str, object] = {"cap_strike": cap, "floor_strike": floor, "strike_type": "between"}
        outcomes.append(
            MarketOutcome(
                f"B{_number(lowest + rung * width + width // 2)}", f"{floor}{theme.unit} to {cap}{theme.unit}", strike
            )
        )
    last: dict[str, object] = {"floor_strike": _number(top), "strike_type": "greater"}
    outcomes.append(MarketOutcome(f"T{_number(top)}", f"Above {_number(top)}{theme.unit}", last))
    fair = [9_800 * weight // sum(weights) for weight in weights]
    return EventShape(
        "", EventText(theme.title.format(subject), day), list(zip(outcomes, fair, strict=True)), exclusive=True
    )


def _field(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    names = rng.sample(CITIES if "Sports" in theme.category else PEOPLE, rng.randrange(4, 22))
    weights = [rng.randrange(1, 40) ** 2 for _ in names]
    outcomes = []
    for number, (name, weight) in enumerate(zip(names, weights, strict=True)):
        strike: dict[str, object] = {"custom_strike": {"entrant": _uuid(rng)}, "strike_type": "structured"}
        outcomes.append((MarketOutcome(f"{_code(name)}{number}", name, strike), 9_800 * weight // sum(weights)))
    return EventShape("", EventText(theme.title.format(subject), f"In {day}"), outcomes, exclusive=True)


def _single(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    strike: dict[str, object] = {}
    if rng.random() < 0.3:
        strike = {"functional_strike": "f(x) = first published value", "strike_type": "functional"}
    outcome = MarketOutcome("Y", f"Before {day}", strike)
    return EventShape(
        "",
        EventText(theme.title.format(subject), f"Before {day}"),
        [(outcome, rng.randrange(300, 9_700))],
        exclusive=False,
    )


def _mentions(theme: Theme, subject: str, day: str, rng: Random) -> EventShape:
    words = rng.sample(WORDS, rng.randrange(3, len(WORDS)))
    outcomes = [
        (
            MarketOutcome(word.upper()[:6], f"“{word}”", {"custom_strike": {"Word": word}, "strike_type": "custom"}),
            rng.randrange(300, 9_700),
        )
        for word in words
    ]
    return EventShape("", EventText(theme.title.format(subject), f"On {day}"), outcomes, exclusive=False)


_SHAPES: Final[dict[str, Callable[[Theme, str, str, Random], EventShape]]] = {
    "buckets": _buckets,
    "field": _field,
    "game": _game,
    "ladder": _ladder,
    "mentions": _mentions,
    "single": _single,
}
