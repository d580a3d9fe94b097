"""Drift: an exchange whose responses change without notice.

Operations change the responses of an endpoint until an operator removes them.

Belongs here: describing drift and applying it to responses. Does not belong here: faults, which affect a limited number
of requests (``plan``), and bodies that harm a client that reads without limits (``hostile``).
"""

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
import orjson
from starlette.responses import Response

from kalshi_pipelines.sandbox.faults.hostile import HOSTILE_BODIES, hostile_response
from kalshi_pipelines.sandbox.faults.plan import ANY_ENDPOINT, UnknownFault

Step = str | int | None
"""A step of a path into a JSON document: the name of a member, the index of an element, or None for every element."""
Place = tuple[Any, Any]
"""A JSON object or array, and the name or index of one item in it."""

_STEP: Final = re.compile(r'"([^"]+)"|([^.\[\]"]+)|\[(-?\d+|)\]')
_NAME: Final = r'(?:"[^"]+"|[^.\[\]"*\s]+)'
_ELEMENTS: Final = r"(?:\[(?:-?\d+)?\])*"
_PATH: Final = re.compile(rf"\$|(?:\$\.)?{_NAME}{_ELEMENTS}(?:\.{_NAME}{_ELEMENTS})*")
_ERRORS_FROM: Final = 400
_SENSELESS: Final = (TypeError, ValueError, AttributeError, InvalidOperation)


def _scaled(decimals: int) -> Callable[[str], int]:
    return lambda text: int(Decimal(text).scaleb(decimals))


FUNCTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "dollars_to_cents_int": _scaled(2),
    "dollars_to_centicents_int": _scaled(4),
    "fp_to_int": _scaled(0),
    "str_to_int": int,
    "str_to_float": float,
    "int_to_str": str,
    "fmt_4dp": lambda text: f"{Decimal(text):.4f}",
    "fmt_6dp": lambda text: f"{Decimal(text):.6f}",
    "iso_to_unix_s": lambda text: int(dt.datetime.fromisoformat(text).timestamp()),
    "yes_no_to_true_false": lambda text: {"yes": "true", "no": "false"}.get(text, text),
    "reverse": lambda values: values[::-1],
    "levels_to_int": lambda levels: [[int(Decimal(price) * 100), int(Decimal(count))] for price, count in levels],
}
"""Conversions that the drift operation ``map`` can apply to a value."""


@dataclass(frozen=True)
class Operation:
    """One change that drift makes to a response.

    Attributes:
        op: Name of the operation, one of ``OPERATIONS``.
        path: Path of the value that is changed, such as ``markets[].yes_bid_dollars`` or
            ``balance_breakdown[0].balance``. The path ``$`` is the whole body.
        to: The new name of the value (``rename``), the outer path that the value moves to (``hoist``), or the address
            to redirect to (``redirect``).
        value: The value that ``set`` writes and ``append`` adds.
        fn: Name of the conversion that ``map`` applies, one of ``FUNCTIONS``.
        n: The number of elements or characters that ``truncate`` leaves.
        key: The member that ``wrap`` puts the body into, that ``unwrap`` takes the body from, or that ``drop_where``
            compares.
        prefix: ``drop_where`` removes elements whose ``key`` begins with this text.
        status: The HTTP status that ``http`` and ``redirect`` send.
        body: The body that ``http`` sends: a text as it is, or another value as JSON. If absent, the endpoint's own
            body is sent.
        headers: Headers that ``http`` adds to the response.
        kind: The kind of a ``hostile`` body, one of ``HOSTILE_BODIES``.
        size: The size of a ``hostile`` body in bytes or in levels of nesting.
        when: Requests that the operation applies to: ``anonymous`` (without an API key), ``signed`` (with an API key),
            or empty for all requests.
    """

    op: str
    path: str = "$"
    to: str = ""
    value: Any = None
    fn: str = ""
    n: int = 0
    key: str = ""
    prefix: str = ""
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    size: int | None = None
    when: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("op", self.op, OPERATIONS),
            ("fn", self.fn, FUNCTIONS if self.op == "map" else {""}),
            ("kind", self.kind, HOSTILE_BODIES if self.op == "hostile" else {""}),
            ("when", self.when, ("", "anonymous", "signed")),
        ):
            if value not in known:
                options = ", ".join(filter(None, known))
                raise UnknownFault(
                    f"The value {value!r} of {name} is not known to the operation {self.op}.",
                    f"Use one of {options}." if options else f"Leave out {name}.",
                )
        for name, path in (("path", self.path), ("to", self.to if self.op == "hoist" else "$")):
            if _PATH.fullmatch(path) is None:
                raise UnknownFault(
                    f"The value {path!r} of {name} is not a path.",
                    "Write a path such as markets[].yes_bid_dollars, in which [] means every element.",
                )
        if self.op in _OF_VALUES.keys() - {"map"} and self.path == "$":
            raise UnknownFault(f"The operation {self.op} needs a path within the body.")
        if self.op in {"rename", "hoist", "redirect"} and not self.to:
            raise UnknownFault(f"The operation {self.op} needs the field to.")
        if self.op in {"wrap", "unwrap", "drop_where"} and not self.key:
            raise UnknownFault(f"The operation {self.op} needs the field key.")

    def concerns(self, is_signed: bool) -> bool:
        """Return whether the operation applies to a request. ``is_signed`` tells whether the request is signed."""
        return not self.when or (self.when == "signed") == is_signed


@dataclass
class Drift:
    """Drift: operations on all responses of an endpoint, or of every endpoint if ``endpoint`` is ``*``.

    ``answers`` counts the changed responses. ``unchanged`` counts responses that the operations left as they were.
    """

    endpoint: str
    operations: tuple[Operation, ...]
    wire: Mapping[str, Any]
    answers: int = 0
    unchanged: int = 0


@dataclass
class DriftPlan:
    """All active drift, in the order in which it was started.

    ``endpoints`` holds the names of the endpoints whose responses can drift.
    """

    endpoints: Collection[str] = ()
    _drifts: list[Drift] = field(default_factory=list)

    def begin(self, wire: Mapping[str, Any]) -> None:
        """Start the drift that a JSON object ``{"endpoint": ..., "operations": [...]}`` describes.

        Raises:
            UnknownFault: The endpoint, an operation, or a field of an operation does not exist.
        """
        endpoint, operations = wire.get("endpoint"), wire.get("operations")
        if endpoint != ANY_ENDPOINT and endpoint not in self.endpoints:
            raise UnknownFault(
                f"The endpoint {endpoint!r} does not exist.", f"Use one of {', '.join(sorted(self.endpoints))}."
            )
        if not isinstance(operations, list) or not operations:
            raise UnknownFault("operations must be a list of objects that is not empty.")
        self._drifts.append(Drift(str(endpoint), tuple(_operation(each) for each in operations), wire))

    def end(self) -> None:
        """Stop all drift."""
        self._drifts.clear()

    def wire(self) -> list[dict[str, Any]]:
        """Return the active drift as the admin route shows it."""
        return [{**drift.wire, "answers": drift.answers, "unchanged": drift.unchanged} for drift in self._drifts]

    def apply(self, endpoint: str, response: Response, *, is_signed: bool) -> Response:
        """Apply the active drift to the response of an endpoint, and return the result."""
        for drift in self._drifts:
            if drift.endpoint not in {endpoint, ANY_ENDPOINT} or type(response) is not Response:
                # Drift does not change a response that a fault has replaced or that is already hostile.
                continue
            operations = [each for each in drift.operations if each.concerns(is_signed)]
            changed = _drifted(response, operations)
            drift.answers += changed is not response
            drift.unchanged += changed is response
            response = changed
        return response


def _operation(wire: object) -> Operation:
    known = {each.name for each in fields(Operation)}
    if isinstance(wire, Mapping) and (unknown := wire.keys() - known):
        raise UnknownFault(
            f"An operation has no field {', '.join(sorted(unknown))}.", f"Use {', '.join(sorted(known))}."
        )
    try:
        return msgspec.convert(wire, Operation)
    except msgspec.ValidationError as error:
        raise UnknownFault(str(error)) from error


def _drifted(response: Response, operations: Iterable[Operation]) -> Response:
    for operation in operations:
        if operation.op in _OF_RESPONSES:
            response = _OF_RESPONSES[operation.op](response, operation)
        elif response.status_code < _ERRORS_FROM:
            response = _with_body(response, operation)
        if type(response) is not Response:
            break
    return response


def _with_body(response: Response, operation: Operation) -> Response:
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return response
    changed = orjson.dumps(changed_body(body, operation))
    if changed == orjson.dumps(orjson.loads(response.body)):
        return response
    return Response(changed, response.status_code, media_type="application/json")


def changed_body(body: Any, operation: Operation) -> Any:  # noqa: ANN401
    """Apply one drift operation to a JSON document and return the result.

    The given document may be modified. A value that does not suit the operation stays as it is.
    """
    if operation.op == "wrap":
        return {operation.key: body}
    if operation.op == "unwrap":
        return body[operation.key] if isinstance(body, dict) and operation.key in body else body
    holder = {"$": body}
    steps: list[Step] = ["$", *_steps(operation.path)]
    if operation.op == "hoist":
        _hoist(holder, steps, ["$", *_steps(operation.to)])
        return holder["$"]
    for container, key in list(_places(holder, steps)):
        if operation.op == "set":
            container[key] = operation.value
        elif _is_there(container, key):
            with suppress(*_SENSELESS):
                _OF_VALUES[operation.op](container, key, operation)
    return holder.get("$")


def _steps(path: str) -> list[Step]:
    if path == "$":
        return []
    found = _STEP.finditer(path.removeprefix("$."))
    return [match[1] or match[2] or (int(match[3]) if match[3] else None) for match in found]


def _places(container: Any, steps: list[Step]) -> Iterator[Place]:  # noqa: ANN401
    """Iterate over the items of a JSON document that match a path.

    Each item is given as its container and its name or index. The item itself need not exist if its container does.
    """
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        keys: Iterable[Any] = [step] if isinstance(container, dict) else []
    elif not isinstance(container, list):
        keys = []
    else:
        keys = range(len(container)) if step is None else [step]
    for key in keys:
        if not rest:
            yield container, key
        elif _is_there(container, key):
            yield from _places(container[key], rest)


def _is_there(container: Any, key: Any) -> bool:  # noqa: ANN401
    return key in container if isinstance(container, dict) else key in range(-len(container), len(container))


def _hoist(holder: dict[str, Any], source: list[Step], target: list[Step]) -> None:
    for parent, name in list(_places(holder, target)):
        children = [place for place in _places(parent, source[len(target) - 1 :]) if _is_there(*place)]
        if children:
            container, key = children[0]
            parent[name] = container[key]
        for container, key in children:
            del container[key]


def _remove(container: Any, key: Any, _: Operation) -> None:  # noqa: ANN401
    del container[key]


def _rename(container: Any, key: Any, operation: Operation) -> None:  # noqa: ANN401
    container[operation.to] = container.pop(key)


def _map(container: Any, key: Any, operation: Operation) -> None:  # noqa: ANN401
    if container[key] is not None:
        container[key] = FUNCTIONS[operation.fn](container[key])


def _append(container: Any, key: Any, operation: Operation) -> None:  # noqa: ANN401
    container[key].append(operation.value)


def _truncate(container: Any, key: Any, operation: Operation) -> None:  # noqa: ANN401
    container[key] = container[key][: operation.n]


def _drop_where(container: Any, key: Any, operation: Operation) -> None:  # noqa: ANN401
    container[key] = [
        each for each in container[key] if not str(each.get(operation.key, "")).startswith(operation.prefix)
    ]


def _http(response: Response, operation: Operation) -> Response:
    body, media_type = response.body, "application/json"
    if isinstance(operation.body, str):
        body, media_type = operation.body.encode(), "text/html"
    elif operation.body is not None:
        body = orjson.dumps(operation.body)
    changed = Response(bytes(body), operation.status or response.status_code, media_type=media_type)
    changed.headers.update(operation.headers)
    return changed


def _redirect(_: Response, operation: Operation) -> Response:
    return Response(status_code=operation.status or 301, headers={"Location": operation.to})


def _hostile(response: Response, operation: Operation) -> Response:
    return hostile_response(operation.kind, bytes(response.body), operation.size)


_OF_VALUES: Final[Mapping[str, Callable[[Any, Any, Operation], None]]] = {
    "remove": _remove,
    "rename": _rename,
    "map": _map,
    "append": _append,
    "truncate": _truncate,
    "drop_where": _drop_where,
}
_OF_RESPONSES: Final[Mapping[str, Callable[[Response, Operation], Response]]] = {
    "http": _http,
    "redirect": _redirect,
    "hostile": _hostile,
}
OPERATIONS: Final = (*_OF_VALUES, "set", "hoist", "wrap", "unwrap", *_OF_RESPONSES)
"""Names of all drift operations.

The operations ``http``, ``redirect`` and ``hostile`` can change any response. The others never change error responses.
"""
