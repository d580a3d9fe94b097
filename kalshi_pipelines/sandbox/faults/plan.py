"""Faults that an operator injects, and the requests that each fault affects.

Belongs here: describing faults, and matching and counting requests. Does not belong here: the effect of a fault
(``effects``), and the limits and refusals of a healthy exchange.
"""

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from kalshi_pipelines import units
from kalshi_pipelines.errors import ExpectedError

READ_KINDS: Final = (
    "latency", "rate_limit", "server_error", "html_error", "cut_connection", "truncated_json", "repeated_cursor",
    "malformed_record", "stale_read", "last_page", "empty_page", "hidden_rows",
)  # fmt: skip
WRITE_KINDS: Final = (
    "refuse", "drop_after_apply", "status_after_apply", "garbage_after_apply", "empty_after_apply", "delay",
    "applied_twice", "answered_twice", "wrong_echo", "clock_skew",
)  # fmt: skip
NEWS_KINDS: Final = ("no_cost", "other_cost")
LASTING_KINDS: Final = (
    "poisoned_cursor", "poisoned_second", "dropped_period", "dropped_trade", "changed_price", "unserved_trades",
    "unserved_candles",
)  # fmt: skip
"""Faults of history. They affect every matching request until they are removed, whatever ``times`` is."""
KINDS: Final = (*READ_KINDS, *WRITE_KINDS, *NEWS_KINDS, "dropped_page", *LASTING_KINDS)
"""All kinds of faults. Each kind may be injected at any endpoint.

``READ_KINDS`` lists kinds that are useful for reads, ``WRITE_KINDS`` for writes, and ``NEWS_KINDS`` for news searches.
``dropped_page`` and ``LASTING_KINDS`` are useful for reads of history.
"""
_TIMED_KINDS: Final = frozenset({"poisoned_cursor", "poisoned_second", "dropped_period"})
_KEYED_KINDS: Final = frozenset({"dropped_trade", "changed_price"})
ANY_ENDPOINT: Final = "*"
ANY_WRITE: Final = "write"
_PRICE: Final = re.compile(r"0\.\d{4}|1\.0000")
_ERRORS: Final = range(400, 600)
_MOST_SECONDS: Final = 10**8


class UnknownFault(ExpectedError, ValueError):
    """A fault or drift cannot be injected, because its description is wrong or incomplete."""


@dataclass(frozen=True)
class Fault:
    """A fault of an endpoint. It affects ``times`` matching requests, starting with the ``at``-th after its injection.

    Attributes:
        endpoint: Method and path template, ``write`` for all endpoints except GET, or ``*`` for all endpoints.
        kind: One of ``KINDS``.
        where: Names and values that a matching request must have, such as ``{"client_order_id": "..."}``. They may be
            in the JSON body, in one item of a batch, in the path or in the query.
        seconds: The wait of ``latency``, the delay of ``delay``, the age of a ``stale_read``, or the clock error of
            ``clock_skew`` (negative if the clock is slow). Also the length of a ``dropped_period``.
        status: The HTTP status that ``status_after_apply`` sends.
        hold: Whether ``delay`` keeps the client waiting. Otherwise the client's connection is closed at once.
        reset: Whether ``refuse``, ``drop_after_apply`` and ``delay`` close the connection with an RST.
        field: The JSON member that ``malformed_record`` and ``wrong_echo`` change, instead of the default member.
            ``hidden_rows`` hides the rows in which this member has ``value``.
        value: The value that ``malformed_record`` and ``wrong_echo`` write. For ``other_cost``, the dollars that a
            search costs.
        rows: The number of rows that ``last_page`` leaves on its page. The default is all rows.
        share: The share of all rows that ``hidden_rows`` hides, or of all markets that ``unserved_trades`` and
            ``unserved_candles`` concern, from 0 to 1.
        time: RFC 3339 time of the place that ``poisoned_cursor`` and ``poisoned_second`` make unreadable, or of the
            beginning of a ``dropped_period``.
        key: The ``trade_id`` of ``dropped_trade`` and ``changed_price``. For ``unserved_trades`` and
            ``unserved_candles``, the ticker of the only market that they concern.
        record: Index of the record that ``malformed_record`` changes. The default is the middle record of the page.
    """

    endpoint: str
    kind: str
    at: int = 1
    times: int = 1
    where: Mapping[str, object] | None = None
    seconds: float = 0.5
    status: int = 500
    hold: bool = True
    reset: bool = False
    field: str | None = None
    value: object = None
    record: int | None = None
    rows: int | None = None
    share: float = 0.1
    time: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownFault(f"The fault kind {self.kind!r} does not exist.", f"Use one of {', '.join(KINDS)}.")
        if self.at < 1 or self.times < 1:
            raise UnknownFault("at and times must be at least 1.")
        if self.seconds < 0 and self.kind != "clock_skew":
            raise UnknownFault(f"seconds must not be negative for {self.kind}.")
        if abs(self.seconds) > _MOST_SECONDS:
            raise UnknownFault(f"seconds must be at most {_MOST_SECONDS}.")
        if not 0 <= self.share <= 1 or (self.rows is not None and self.rows < 0):
            raise UnknownFault("share must be from 0 to 1, and rows must not be negative.")
        if self.status not in _ERRORS:
            raise UnknownFault("status must be from 400 to 599.")
        if self.kind in _TIMED_KINDS:
            _ = self.time_us
        if self.kind in _KEYED_KINDS and self.key is None:
            raise UnknownFault(f"{self.kind} needs the trade_id of a trade as key.")
        if self.kind == "changed_price" and not _PRICE.fullmatch(str(self.value)):
            raise UnknownFault("changed_price needs a YES price with four decimals as value, such as '0.4200'.")

    @property
    def time_us(self) -> int:
        """The fault's time, in microseconds since 1970. Raises ``UnknownFault`` without a legal time."""
        try:
            return units.microseconds(dt.datetime.fromisoformat(self.time or ""))
        except (ValueError, TypeError) as error:
            raise UnknownFault(f"{self.kind} needs a time in RFC 3339 with an offset.") from error

    def matches(self, request: "ObservedRequest") -> bool:
        """Return whether a request matches this fault's ``endpoint`` and ``where``."""
        named = self.endpoint in {request.endpoint, ANY_ENDPOINT}
        if not named and not (self.endpoint == ANY_WRITE and request.is_write):
            return False
        return self.where is None or request.has(self.where)


@dataclass(frozen=True)
class ObservedRequest:
    """The parts of a request that faults are matched against: the endpoint's name, the path, the query and the body."""

    endpoint: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def is_write(self) -> bool:
        """Whether the request is a write: any method except GET."""
        return not self.endpoint.startswith("GET ")

    def has(self, members: Mapping[str, object]) -> bool:
        """Return whether the request contains every name in ``members`` with the value that ``members`` gives.

        All names must be found in the request itself, or all in a single item of a batch request. Two values are equal
        if they are equal as texts. The value None stands for any value.
        """
        return any(
            all(name in found and (value is None or str(found[name]) == str(value)) for name, value in members.items())
            for found in self._found()
        )

    def _found(self) -> list[dict[str, Any]]:
        given: dict[str, Any] = {**self.query, **self.path}
        try:
            body = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return [given]
        if not isinstance(body, dict):
            return [given]
        lists = [value for value in body.values() if isinstance(value, list)]
        items = [item for value in lists for item in value if isinstance(item, dict)]
        return [{**body, **given}, *items]


@dataclass
class _Planned:
    fault: Fault
    seen: int = 0
    struck: int = 0

    def is_over(self) -> bool:
        return self.fault.kind not in LASTING_KINDS and self.seen >= self.fault.at + self.fault.times - 1


@dataclass
class FaultPlan:
    """The injected faults.

    For each fault, the plan counts the requests that match the fault and the requests that the fault affects. A fault
    is finished when it has affected ``times`` requests. The plan counts no requests for a finished fault.

    ``endpoints`` holds the names of the endpoints at which a fault may be injected. If ``endpoints`` is empty, the name
    of a fault's endpoint is not checked.
    """

    endpoints: Collection[str] = ()
    _due: list[_Planned] = field(default_factory=list)
    _over: list[_Planned] = field(default_factory=list)

    def inject(self, fault: Fault) -> None:
        """Inject a fault. The plan counts the requests that match the fault from now on.

        Raises:
            UnknownFault: The endpoint does not exist.
        """
        if self.endpoints and fault.endpoint not in {*self.endpoints, ANY_ENDPOINT, ANY_WRITE}:
            raise UnknownFault(
                f"The endpoint {fault.endpoint!r} does not exist.", f"Use one of {', '.join(sorted(self.endpoints))}."
            )
        self._due.append(_Planned(fault))

    def clear(self) -> None:
        """Remove all injected faults."""
        self._due.clear()
        self._over.clear()

    def count_request(self, request: ObservedRequest) -> Sequence[Fault]:
        """Count a request for every fault that it matches, and return the faults that affect the request."""
        if not self._due:
            return ()
        striking = []
        for planned in self._due:
            if planned.fault.matches(request):
                planned.seen += 1
                if planned.seen >= planned.fault.at:
                    planned.struck += 1
                    striking.append(planned.fault)
        self._over += [planned for planned in self._due if planned.is_over()]
        self._due = [planned for planned in self._due if not planned.is_over()]
        return striking

    def wire(self) -> list[dict[str, object]]:
        """Return all injected faults as the admin route shows them: pending faults first, then finished faults."""
        return [
            {**asdict(planned.fault), "seen": planned.seen, "struck": planned.struck}
            for planned in (*self._due, *self._over)
        ]
