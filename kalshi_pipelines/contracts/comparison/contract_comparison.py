"""Comparison of an answer with its contract: keys, types, formats, vocabularies and bounds."""

import datetime as dt
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.contracts.comparison.baseline import Baseline
from kalshi_pipelines.contracts.comparison.inventory import WHOLE, Place, parent_of
from kalshi_pipelines.contracts.comparison.observation import Observation
from kalshi_pipelines.contracts.language.declarations import Contract, Field, Format
from kalshi_pipelines.contracts.language.differences import (
    Difference,
    Kind,
    PlaceAndKind,
    Severity,
    places_and_kinds,
)

_TYPES: Final = {
    Format.DOLLARS: {"string"},
    Format.COUNT: {"string"},
    Format.TIME: {"string"},
    Format.UUID: {"string"},
    Format.CLOCK: {"string"},
    Format.TEXT: {"string"},
    Format.URL: {"string"},
    Format.INTEGER: {"integer"},
    Format.NUMBER: {"integer", "number"},
    Format.FLAG: {"flag"},
    Format.OBJECT: {"object"},
    Format.ARRAY: {"array"},
}
_MOST_FRACTION: Final = 6
_MOST_NAMED: Final = 5
_ALIKE: Final = 0.55
_UNIT: Final = "Stop its ingest until you know the unit: the values stored now may be wrong."


@dataclass(frozen=True)
class ContractComparison:
    """The differences between an answer and the contract of its endpoint.

    Attributes:
        differences: The differences to report, without those that the baseline knows already.
        declared: Place and kind of each difference, including those that the baseline knows.
    """

    differences: tuple[Difference, ...] = ()
    declared: frozenset[PlaceAndKind] = frozenset()


@dataclass(frozen=True)
class _Noticed:
    """A difference from the contract, and whether the baseline knows it already."""

    difference: Difference
    is_known: bool = False


def compare_with_contract(
    contract: Contract, observation: Observation, baseline: Baseline | None, received: dt.date
) -> ContractComparison:
    """Compare the places in the body of one answer with the places that its contract declares.

    Args:
        contract: The contract of the endpoint.
        observation: The places and values of the answer.
        baseline: The learned baseline; differences that it knows are not reported again.
        received: The day the answer was received.
    """
    return _Comparison(contract, observation, baseline, received).result()


class _Comparison:
    """The comparison of one answer with its contract.

    One pass over the body finds all differences, and marks the differences that the baseline knows already.
    """

    def __init__(
        self, contract: Contract, observation: Observation, baseline: Baseline | None, received: dt.date
    ) -> None:
        self._contract = contract
        self._observation = observation
        self._places = observation.inventory.places
        self._known = baseline.inventory.places if baseline else {}
        self._received = received

    def result(self) -> ContractComparison:
        lacking, new = list(self._lacking_keys()), list(self._new())
        noticed = [
            each
            for name, place in self._places.items()
            if (field := self._contract.fields.get(name)) is not None
            for each in self._declared(name, place, field)
        ]
        keys = _pair_renames(
            [*(self._lacking(name, after, is_seen=self._was_seen(name)) for name, after in lacking), *self._left_out()],
            [each.difference for each in new if not each.is_known],
            self._contract,
        )
        found = (*keys, *(each.difference for each in noticed if not each.is_known))
        if not self._known:
            return ContractComparison(found, places_and_kinds(found))
        keys = _pair_renames(
            [self._lacking(name, after, is_seen=False) for name, after in lacking],
            [each.difference for each in new],
            self._contract,
        )
        return ContractComparison(found, places_and_kinds([*keys, *(each.difference for each in noticed)]))

    def _lacking_keys(self) -> Iterator[tuple[str, str]]:
        for name, each in self._contract.fields.items():
            around = self._observation.inventory.objects_around(name)
            if not each.is_required or name.endswith("]") or not around:
                continue
            place = self._places.get(name)
            seen = place.seen if place else 0
            if seen < around:
                yield name, "gone" if not seen else "missing in some"

    def _left_out(self) -> Iterator[Difference]:
        """Yield a difference for each optional key that disappeared.

        Such a difference is reported later only if a new key with a similar name appeared.
        """
        for name, each in self._contract.fields.items():
            if each.is_required or name in self._places or not self._was_seen(name) or name.endswith("]"):
                continue
            if self._observation.inventory.objects_around(name):
                yield self._difference(name, Kind.KEY_RENAMED, self._grave(name), name, "gone", "")

    def _lacking(self, name: str, after: str, *, is_seen: bool) -> Difference:
        since = self._contract.fields[name].since
        if since is not None and (self._received < since or not is_seen):
            return self._difference(
                name,
                Kind.KEY_MISSING,
                Severity.ADDITIVE,
                f"required by the specification since {since}",
                "not sent yet",
                "Nothing to do: the value is stored as unknown until the vendor sends it.",
            )
        return self._difference(
            name,
            Kind.KEY_MISSING,
            self._grave(name),
            "a required key",
            after,
            "Look up its replacement in the changelog before the next ingest: rows without this key are quarantined.",
        )

    def _was_seen(self, name: str) -> bool:
        known = self._known.get(name)
        return known is not None and known.seen > 0

    def _new(self) -> Iterator[_Noticed]:
        unknown: set[str] = set()
        for name, place in self._places.items():
            each = self._contract.fields.get(name)
            if each is None:
                parents = {name[:end] for end in range(len(name)) if name[end] in ".["}
                if parents & unknown or name.endswith("]") or name == WHOLE:
                    continue
                unknown.add(name)
                before, after = "not declared", f"a new key: {_describe(place)}"
                advice = "See the changelog, and declare the key if it is worth storing."
            elif each.until is not None and self._received >= each.until:
                before, after, advice = (
                    f"taken away on {each.until}",
                    "back again",
                    "Nothing to do: no asset uses it.",
                )
            else:
                continue
            difference = self._difference(
                name, Kind.KEY_NEW, Severity.ADDITIVE, before, after, advice, self._example(name)
            )
            yield _Noticed(difference, self._was_seen(name))

    def _declared(self, name: str, place: Place, each: Field) -> Iterator[_Noticed]:
        if each.values and (noticed := self._vocabulary(name, place, each)):
            yield noticed
        yield from map(_Noticed, self._form(name, place, each))

    def _form(self, name: str, place: Place, each: Field) -> Iterator[Difference]:
        if place.nulls and not each.is_nullable:
            yield self._difference(
                name,
                Kind.NULL_NEW,
                self._grave(name),
                "never null",
                "null",
                "Find out what null means: such rows are quarantined.",
            )
        allowed = _TYPES.get(each.format)
        others = sorted(set(place.types) - allowed) if allowed else []
        if others:
            yield self._difference(
                name,
                Kind.TYPE_CHANGED,
                self._grave(name),
                " or ".join(sorted(allowed or ())),
                ", ".join(others),
                "Change the decoder before the next ingest: it refuses values of this type.",
                self._example(name, *others),
            )
        if not each.values and place.formats:
            yield from self._formats(name, place, each)
        beyond = self._observation.beyond.get(name)
        if beyond is not None:
            yield self._difference(
                name,
                Kind.INVARIANT_BROKEN,
                self._grave(name),
                f"from {each.least} to {each.most}",
                "numbers out of their bounds",
                _UNIT,
                beyond,
            )

    def _vocabulary(self, name: str, place: Place, each: Field) -> _Noticed | None:
        known = self._known.get(name)
        seen = set((known.values or {}) if known and not each.is_closed else ())
        undeclared = sorted(set(place.values or ()) - each.values)
        new = [word for word in undeclared if word not in seen]
        if place.values is None:
            new = ["too many values to name"]
        if not undeclared and not new:
            return None
        named = ", ".join(repr(word) for word in (new or undeclared)[:_MOST_NAMED])
        severity = self._grave(name) if each.is_closed else Severity.RISKY
        difference = self._difference(
            name,
            Kind.VALUE_NEW,
            severity,
            _listed(each.values),
            f"new values: {named}",
            "Find out what the value means. If the vocabulary is closed, the warehouse refuses the value.",
        )
        return _Noticed(difference, is_known=not new)

    def _formats(self, name: str, place: Place, each: Field) -> Iterator[Difference]:
        for form in sorted(place.formats):
            severity_of_form = _format_severity(form, each)
            if severity_of_form is None:
                continue
            severity = self._grave(name) if severity_of_form is Severity.BREAKING else severity_of_form
            yield self._difference(
                name,
                Kind.FORMAT_CHANGED,
                severity,
                _expected(each),
                _format_text(form),
                "Check that value and unit still mean the same before they are stored.",
                self._example(name, form),
            )

    def _grave(self, name: str) -> Severity:
        return Severity.BREAKING if self._contract.assets_of(name) else Severity.RISKY

    def _example(self, name: str, *forms: str) -> str:
        examples = self._observation.examples.get(name, {})
        return next((examples[form] for form in (*forms, *examples) if form in examples), "")

    def _difference(
        self, place: str, kind: Kind, severity: Severity, before: str, after: str, advice: str, example: str = ""
    ) -> Difference:
        assets = self._contract.assets_of(place) if kind is not Kind.KEY_NEW else ()
        return Difference(self._contract.endpoint, place, kind, severity, before, after, example, assets, advice)


def _format_severity(form: str, each: Field) -> Severity | None:
    kind, _, digits = form.partition(":")
    if each.format in {Format.DOLLARS, Format.COUNT}:
        decimals = int(digits) if kind == "decimal" else 0 if kind == "integer" else None
        if decimals is None or (decimals == 0 and 0 not in each.decimals):
            return Severity.BREAKING
        return None if not each.decimals or decimals in each.decimals else Severity.RISKY
    if each.format is Format.TIME:
        return _time_severity(form, each)
    if each.format in {Format.UUID, Format.CLOCK}:
        return None if form == each.format else Severity.RISKY
    return None


def _time_severity(form: str, each: Field) -> Severity | None:
    kind, _, digits = form.partition(":")
    if kind == "time":
        return None if int(digits) <= _MOST_FRACTION else Severity.RISKY
    if form == "never":
        return Severity.RISKY if each.is_required and not each.is_nullable else None
    return Severity.RISKY if form == "time with another zone" else Severity.BREAKING


def _expected(each: Field) -> str:
    if each.decimals:
        return f"{each.format} with {' or '.join(map(str, each.decimals))} decimals"
    return str(each.format)


def _format_text(form: str) -> str:
    kind, _, digits = form.partition(":")
    return {"decimal": f"a number with {digits} decimals", "time": f"an instant with {digits} digits of a second"}.get(
        kind, f"{form}"
    )


def _describe(place: Place) -> str:
    return ", ".join(sorted({*place.types, *(form.partition(":")[0] for form in place.formats)} - {"string"})) or "null"


def _listed(values: frozenset[str]) -> str:
    return ", ".join(repr(value) for value in sorted(values))


def _pair_renames(missing: list[Difference], new: list[Difference], contract: Contract) -> list[Difference]:
    """Return the differences about missing and new keys.

    If a missing and a new key have similar names, they are reported as one renamed key.
    """
    found, taken = [], set()
    for lost in missing:
        candidates = [
            each
            for each in new
            if parent_of(each.place) == parent_of(lost.place) and each.place not in taken and lost.after == "gone"
        ]
        best = max(candidates, key=lambda each: _likeness(each.place, lost.place), default=None)
        if best is None or _likeness(best.place, lost.place) < _ALIKE or lost.severity is Severity.ADDITIVE:
            found += [lost] if lost.kind is not Kind.KEY_RENAMED else []
            continue
        taken.add(best.place)
        found.append(_rename(lost, best, contract))
    return found + [each for each in new if each.place not in taken]


def _likeness(one: str, other: str) -> float:
    one, other = one.rpartition(".")[2], other.rpartition(".")[2]
    return 1.0 if one in other or other in one else difflib.SequenceMatcher(None, one, other).ratio()


def _rename(lost: Difference, new: Difference, contract: Contract) -> Difference:
    return Difference(
        contract.endpoint,
        lost.place,
        Kind.KEY_RENAMED,
        lost.severity,
        lost.place,
        f"gone, and {new.place.rpartition('.')[2]} is new",
        new.example,
        lost.assets,
        "Compare both names in the changelog: the unit may have changed together with the name.",
    )
