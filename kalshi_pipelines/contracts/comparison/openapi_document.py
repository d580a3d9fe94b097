"""The exchange's published OpenAPI document: safe reading, a digest, and comparison with the accepted document.

The accepted document is the first document that was read, or a later document whose differences people have all
acknowledged. The vendor changes the document without a new version number, so each operation and schema is compared.

The exchange may still send a key that the document no longer has. A removal from the document is therefore only risky.
A breaking difference is reported only when an answer of the exchange shows the removal.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.errors import ExpectedError

ENDPOINT: Final = "GET docs.kalshi.com/openapi.yaml"
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_EVENTS: Final = 400_000
_MOST_DEPTH: Final = 40
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_ADVICE: Final = (
    "Look up the change in the vendor's changelog. Acknowledge the finding to accept the document; "
    "change the contract if an answer shows the change."
)

DocumentDigest = Mapping[str, Mapping[str, str]]
"""Facts from an OpenAPI document as text, for each operation (``GET /markets``) and schema (``schema Market``)."""


class UnreadableDocument(ExpectedError):
    """The error for a body that is not an OpenAPI document or may be harmful to parse. The message gives the reason."""


def digest_document(body: bytes) -> DocumentDigest:
    """Return the facts of a document: parameters, answers, properties, required keys and vocabularies.

    Raises:
        UnreadableDocument: The body is not an OpenAPI document, or it may do harm.
    """
    document = _load(body)
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise UnreadableDocument("it has no paths")
    found: dict[str, dict[str, str]] = {
        "document": {"version": str(_at(document, "info", "version")), "servers": _servers(document)}
    }
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if isinstance(operations, dict) and isinstance(operations.get(method), dict):
                found[f"{method.upper()} {path}"] = dict(_operation(operations, operations[method]))
    schemas = _at(document, "components", "schemas")
    for name, schema in schemas.items() if isinstance(schemas, dict) else ():
        found[f"schema {name}"] = dict(_schema("", schema, 0))
    return found


def hash_document(body: bytes) -> str:
    """Return the SHA-256 hash of a document."""
    return hashlib.sha256(body).hexdigest()


def compare_digests(accepted: DocumentDigest, present: DocumentDigest) -> list[Difference]:
    """Return one difference for each operation or schema that differs between the accepted and the present document."""
    found = []
    for name in sorted({*accepted, *present}):
        before, after = accepted.get(name), present.get(name)
        if before != after:
            found.append(_change(name, before, after))
    return found


def unreadable_document(reason: str) -> Difference:
    """Return the difference for a document that cannot be read."""
    return Difference(ENDPOINT, "$", Kind.ABSURD, Severity.RISKY, "an OpenAPI document", reason, advice=_ADVICE)


def _change(name: str, before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> Difference:
    if before is None or after is None:
        word = "is new" if before is None else "is gone"
        used = after is None and _is_used(name)
        severity = Severity.RISKY if used else Severity.ADDITIVE
        return _difference(name, severity, "" if before is None else "documented", f"{name} {word}")
    gone = [f"-{key}" for key in sorted({*before} - {*after})]
    new = [f"+{key}" for key in sorted({*after} - {*before})]
    other = [
        f"{key}: {before[key]} -> {after[key]}" for key in sorted({*after} & {*before}) if before[key] != after[key]
    ]
    severity = Severity.RISKY if (gone or other) and _is_used(name) else Severity.ADDITIVE
    return _difference(name, severity, "as accepted", ", ".join((*gone, *other, *new)))


def _difference(name: str, severity: Severity, before: str, after: str) -> Difference:
    contract = CONTRACTS.get(name)
    assets = contract.used_by if contract else ()
    return Difference(ENDPOINT, name, Kind.DOCUMENT_CHANGED, severity, before, after, "", assets, _ADVICE)


def _is_used(name: str) -> bool:
    # Every schema counts as used, because the code does not trace which endpoints use a schema.
    return name in CONTRACTS or name.startswith("schema ")


def _operation(path: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for parameter in (*_list(path.get("parameters")), *_list(operation.get("parameters"))):
        if not isinstance(parameter, dict):
            continue
        name = str(parameter.get("$ref") or f"{parameter.get('in')} {parameter.get('name')}")
        yield f"parameter {name}", "required" if parameter.get("required") else "optional"
        yield from _schema(f"parameter {name}", parameter.get("schema"), 1)
    body = operation.get("requestBody")
    yield from _contents("request", body)
    answers = operation.get("responses")
    for status, answer in answers.items() if isinstance(answers, dict) else ():
        yield f"answer {status}", "documented"
        yield from _contents(f"answer {status}", answer)
    yield "security", str(operation.get("security", "as the document"))
    if operation.get("deprecated"):
        yield "deprecated", "true"


def _contents(name: str, holder: object) -> Iterator[tuple[str, str]]:
    contents = _at(holder, "content")
    for kind, content in contents.items() if isinstance(contents, dict) else ():
        yield from _schema(f"{name} {kind}", _at(content, "schema"), 1)


def _schema(at: str, schema: object, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict) or depth > _MOST_DEPTH:
        return
    facts = [
        f"{key}={schema[key]}"
        for key in ("type", "format", "$ref", "nullable", "minimum", "maximum", "default")
        if key in schema
    ]
    yield f"{at} type".strip(), " ".join(facts)
    for value in _list(schema.get("enum")):
        yield f"{at} value {value}".strip(), "allowed"
    for key in _list(schema.get("required")):
        yield f"{at} required {key}".strip(), "yes"
    properties = schema.get("properties")
    for key, inner in properties.items() if isinstance(properties, dict) else ():
        yield from _schema(f"{at}.{key}" if at else str(key), inner, depth + 1)
    if "items" in schema:
        yield from _schema(f"{at}[]", schema["items"], depth + 1)
    for word in ("allOf", "oneOf", "anyOf"):
        for number, inner in enumerate(_list(schema.get(word))):
            yield from _schema(f"{at} {word} {number}".strip(), inner, depth + 1)


def _servers(document: Mapping[str, Any]) -> str:
    return ", ".join(sorted(str(_at(server, "url")) for server in _list(document.get("servers"))))


def _list(value: object) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _at(value: object, *keys: str) -> Any:  # noqa: ANN401
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _load(body: bytes) -> object:
    if len(body) > _MOST_BYTES:
        raise UnreadableDocument(f"it has more than {_MOST_BYTES // 1024 // 1024} MB")
    try:
        depth = 0
        for number, event in enumerate(yaml.parse(body, Loader=_LOADER)):
            if isinstance(event, yaml.events.AliasEvent):
                raise UnreadableDocument("it has aliases, which may make a small document endless")
            depth += isinstance(event, yaml.events.CollectionStartEvent)
            depth -= isinstance(event, yaml.events.CollectionEndEvent)
            if number > _MOST_EVENTS or depth > _MOST_DEPTH:
                raise UnreadableDocument("it has too many values, or they are nested too deeply")
        return yaml.load(body, Loader=_LOADER)  # noqa: S506  # one of the two safe loaders
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise UnreadableDocument(f"it is not YAML: {type(error).__name__}") from None


_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
