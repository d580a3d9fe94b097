"""The learned baseline of an endpoint in one environment, and the comparison of an answer with the baseline.

The baseline learns everything that an answer shows, including each new difference. A finding must stay open although
the baseline has learned its difference. So the package ``findings`` keeps a second baseline of the endpoint, called the
reference. The endpoint may have several findings that are not closed. The reference is the baseline as it was before
the oldest of these findings opened. Later answers are compared with the reference, too.

Belongs here: conclusions from learned counts. Does not belong here: comparison with the contract
(``contract_comparison``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.inventory import ENOUGH, WHOLE, Inventory, Place, parent_of
from kalshi_pipelines.contracts.comparison.observation import lasting_place
from kalshi_pipelines.contracts.language.declarations import Contract, Field, Format
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity

_MANY: Final = 10
"""The number of learned answers that are needed to judge whether a value usually varies between answers."""
_FEW_VALUES: Final = 3
_MOST_STILL: Final = 3
"""The largest number of frozen fields of one record that are reported. The value of a frozen field stopped changing.

This limit applies only to fields for money and for counts of contracts. If a record has more frozen fields than the
limit, the rows of the answer are probably new and not traded yet. None of these frozen fields is then reported.
"""
_MOST_IDLE: Final = 0.5
"""The largest share of idle values (zero, empty or the upper bound) that an answer with traded rows usually has.

If a learned answer had a larger share, untraded rows are normal for the endpoint. An answer with only idle values is
then not reported.
"""
_RARE: Final = 0.001
_SHIFT: Final = 1.5
_TELLING: Final = frozenset({"uuid", "url", "clock", "ticker"})
_REFUSAL: Final = "refusal."
_LASTING_ADVICE: Final = "Find out whether everything changed or only these, and which figures depend on the value."


@dataclass(frozen=True)
class Baseline:
    """The sum of all learned answers of an endpoint in one environment.

    Attributes:
        inventory: The inventories of all learned answers, added up.
        observations: The number of learned answers.
        first_us: When the first answer was received, in microseconds since 1970 UTC.
        last_us: When the latest answer was received, in microseconds since 1970 UTC.
    """

    inventory: Inventory = field(default_factory=Inventory)
    observations: int = 0
    first_us: int = 0
    last_us: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the baseline as a JSON object that ``from_json`` reads."""
        return {
            "inventory": self.inventory.as_json(),
            "observations": self.observations,
            "first_us": self.first_us,
            "last_us": self.last_us,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Baseline":
        """Return the baseline that ``as_json`` wrote."""
        return cls(
            Inventory.from_json(value.get("inventory", {})),
            value.get("observations", 0),
            value.get("first_us", 0),
            value.get("last_us", 0),
        )


def learn(baseline: Baseline | None, inventory: Inventory, at_us: int) -> Baseline:
    """Return the baseline with one more answer added. If no answer was learned yet, ``baseline`` is ``None``."""
    if baseline is None or baseline.observations == 0:
        return Baseline(inventory, 1, at_us, at_us)
    return Baseline(
        baseline.inventory.plus(inventory),
        baseline.observations + 1,
        min(baseline.first_us, at_us),
        max(baseline.last_us, at_us),
    )


def compare(baseline: Baseline, inventory: Inventory, contract: Contract) -> list[Difference]:
    """Return the differences between an answer and the baseline; none if the baseline has learned no answer yet."""
    if baseline.observations == 0:
        return []
    found: list[Difference] = []
    is_same_question = bool(set(baseline.inventory.questions) & set(inventory.questions))
    for name, known in baseline.inventory.places.items():
        if name == WHOLE or _is_inside_unknown(name, contract):
            continue
        now = inventory.places.get(name)
        if now is None:
            found += _gone(name, known, inventory, contract)
        elif now.seen:
            found += _changed(name, known, now, baseline.observations, contract, is_same_question=is_same_question)
    for name, now in inventory.places.items():
        if name not in baseline.inventory.places:
            found += _appeared(name, now, baseline.inventory, contract)
    found = _without_newcomers(found, contract)
    found += _lasting(baseline.inventory, inventory, contract)
    found += _shortened(baseline.inventory, inventory, contract)
    return found


def _difference(
    contract: Contract,
    place: str,
    kind: Kind,
    severity: Severity,
    before: str,
    after: str,
    advice: str,
    example: str = "",
) -> Difference:
    return Difference(
        contract.endpoint, place, kind, severity, before, after, example, contract.assets_of(place), advice
    )


def _gone(name: str, known: Place, inventory: Inventory, contract: Contract) -> Iterator[Difference]:
    each = contract.fields.get(name)
    around = inventory.objects_around(name)
    if name.endswith("]") or not around or not known.steady:
        return
    if each is not None and not each.is_usual:
        return
    # A vendor may omit a nullable key without a fault. Such a key is reported as missing only if no object in the
    # learned answers lacked the key, and enough objects in the present answer lack the key.
    if each is not None and each.is_nullable and (known.steady < known.of or around < _FEW_VALUES):
        return
    yield _difference(
        contract,
        name,
        Kind.KEY_MISSING,
        Severity.RISKY,
        "always there",
        "gone",
        "Look up its replacement in the vendor's changelog, and remove the key from the decoder.",
    )


def _without_newcomers(found: list[Difference], contract: Contract) -> list[Difference]:
    """Return the differences, except those about frozen fields of rows that are probably new.

    A frozen field holds money or a count of contracts, and its value stopped changing. If one record has more than
    ``_MOST_STILL`` frozen fields, the rows are probably new and not traded yet. The differences about these fields are
    then dropped.
    """
    still: dict[str, list[Difference]] = {}
    for each in found:
        field = contract.fields.get(each.place)
        if each.kind is Kind.VALUE_FROZEN and field is not None and field.format in {Format.DOLLARS, Format.COUNT}:
            still.setdefault(parent_of(each.place), []).append(each)
    dropped = {each.place for group in still.values() if len(group) > _MOST_STILL for each in group}
    return [each for each in found if each.kind is not Kind.VALUE_FROZEN or each.place not in dropped]


def _is_inside_unknown(name: str, contract: Contract) -> bool:
    """Return whether a key is inside an object that the contract does not declare. Such keys are not compared."""
    parent = parent_of(name).removesuffix("[]")
    return bool(parent) and not name.startswith(_REFUSAL) and parent not in contract.fields


def _appeared(name: str, now: Place, known: Inventory, contract: Contract) -> Iterator[Difference]:
    each = contract.fields.get(name)
    is_awaited = each is not None and each.is_usual and not each.is_nullable and each.until is None
    if is_awaited and known.objects_around(name) and now.seen:
        yield _difference(
            contract,
            name,
            Kind.KEY_NEW,
            Severity.ADDITIVE,
            "never there",
            "there",
            "Nothing to do: the key is declared already.",
        )


def _changed(
    name: str, known: Place, now: Place, answers: int, contract: Contract, *, is_same_question: bool
) -> Iterator[Difference]:
    each = contract.fields.get(name)
    if each is None:
        yield from _undeclared(name, known, now, contract)
    if each is not None and each.is_usual and known.filled == known.seen > 0 and now.nulls == now.seen:
        yield _difference(
            contract,
            name,
            Kind.NULL_NEW,
            Severity.RISKY,
            "never null",
            "null",
            "Find out whether null means none here.",
        )
    if each is not None and each.is_filled and not known.zeros and known.seen >= _FEW_VALUES and now.zeros:
        yield _difference(
            contract,
            name,
            Kind.DISTRIBUTION_CHANGED,
            Severity.RISKY,
            "never empty",
            "empty in some",
            "Find out whether old or settled things are omitted now.",
        )
    if each is not None and each.is_moving and known.latest and now.latest and now.latest < known.latest:
        yield _difference(
            contract,
            name,
            Kind.DISTRIBUTION_CHANGED,
            Severity.RISKY,
            "goes forward",
            "went back",
            "Find out whether reads come from an older replica.",
            f"{known.latest}, then {now.latest}",
        )
    if each is not None and each.format is Format.TEXT and each.used_by:
        yield from _other_format(name, known, now, each, contract)
        if is_same_question:
            yield from _emptied(name, known, now, contract)
    if name.startswith(_REFUSAL):
        return
    if is_same_question:
        yield from _all_zero(name, known, now, answers, contract, each)
        yield from _all_alike(name, known, now, contract, each)
        yield from _shifted(name, known, now, contract)


def _undeclared(name: str, known: Place, now: Place, contract: Contract) -> Iterator[Difference]:
    others = sorted(set(now.types) - set(known.types))
    if others and known.types:
        yield _difference(
            contract,
            name,
            Kind.TYPE_CHANGED,
            Severity.RISKY,
            ", ".join(sorted(known.types)),
            ", ".join(others),
            "Find out what it is; no asset uses it.",
        )
    others = sorted(set(now.formats) - set(known.formats) - {"empty"})
    if others and known.formats and sum(known.formats.values()) >= _FEW_VALUES and len(known.formats) == 1:
        yield _difference(
            contract,
            name,
            Kind.FORMAT_CHANGED,
            Severity.ADDITIVE,
            ", ".join(known.formats),
            ", ".join(others),
            "Find out what it is; no asset uses it.",
        )


def _other_format(name: str, known: Place, now: Place, each: Field, contract: Contract) -> Iterator[Difference]:
    formats = set(known.formats)
    is_ticker = name.endswith("ticker")
    if each.values or len(formats) != 1 or sum(known.formats.values()) < _FEW_VALUES or formats & set(now.formats):
        return
    if formats <= _TELLING and (is_ticker or "ticker" not in formats) and now.formats:
        yield _difference(
            contract,
            name,
            Kind.FORMAT_CHANGED,
            Severity.RISKY,
            next(iter(formats)),
            ", ".join(sorted(now.formats)),
            "Find out whether it still means the same: this project identifies something by it.",
        )


def _emptied(name: str, known: Place, now: Place, contract: Contract) -> Iterator[Difference]:
    if not known.zeros and known.seen - known.nulls >= _FEW_VALUES and now.zeros == now.seen - now.nulls > 0:
        yield _difference(
            contract,
            name,
            Kind.VALUE_FROZEN,
            Severity.RISKY,
            "never empty",
            "always empty",
            "Find out whether the field is dead: exchanges keep sending fields that they no longer fill.",
        )


def _all_zero(
    name: str, known: Place, now: Place, answers: int, contract: Contract, each: Field | None
) -> Iterator[Difference]:
    before, values = known.seen - known.nulls, now.seen - now.nulls
    if now.zeros < values or values < ENOUGH or known.zeros == before or {"object", "flag"} & set(now.types):
        return
    if each is not None and (not each.used_by or (each.is_nullable and not each.is_usual)):
        return
    chance = ((known.zeros + 1) / (before + 2)) ** values
    if chance > _RARE:
        return
    if answers < _MANY or known.varied < _MANY or known.uniform or known.idlest > _MOST_IDLE:
        return
    yield _difference(
        contract,
        name,
        Kind.VALUE_FROZEN,
        Severity.RISKY,
        "values",
        "always zero or empty",
        "Find out whether the field is dead: exchanges keep sending fields that they no longer fill.",
    )


def _all_alike(name: str, known: Place, now: Place, contract: Contract, each: Field | None) -> Iterator[Difference]:
    if each is None or not each.used_by or known.uniform or known.varied < _MANY or not now.uniform:
        return
    if now.zeros == now.seen or (now.idlest == 1 and known.idlest > _MOST_IDLE):
        return
    yield _difference(
        contract,
        name,
        Kind.VALUE_FROZEN,
        Severity.RISKY,
        "values that differ",
        "always the same value",
        "Find out whether the field is dead, or the vendor applies a filter that the request did not contain.",
    )


def _has_unit(each: Field | None) -> bool:
    """Return whether all values of a field have the same unit. A strike may be in degrees, in dollars or in goals."""
    if each is None or each.format is Format.NUMBER:
        return each is not None and each.most is not None
    return True


def _shifted(name: str, known: Place, now: Place, contract: Contract) -> Iterator[Difference]:
    if not _has_unit(contract.fields.get(name)):
        return
    if known.means is None or now.means is None or known.varied + known.uniform < _MANY:
        return
    low, high = known.means
    if low - _SHIFT <= now.means[0] <= high + _SHIFT:
        return
    way = "larger" if now.means[0] > high else "smaller"
    yield _difference(
        contract,
        name,
        Kind.DISTRIBUTION_CHANGED,
        Severity.RISKY,
        f"about 1e{low:.0f} to 1e{high:.0f}",
        f"many times {way}",
        "Find out whether its unit changed, such as cents and dollars, or seconds and milliseconds.",
        f"about 1e{now.means[0]:.1f}",
    )


def _lasting(known: Inventory, now: Inventory, contract: Contract) -> Iterator[Difference]:
    for lasting in contract.lasting:
        for attribute in lasting.attributes:
            place = lasting_place(lasting, attribute)
            before, after = known.lasting.get(place, {}), now.lasting.get(place, {})
            if not before or not after:
                continue
            changed = [(key, before[key], value) for key, value in after.items() if before.get(key, value) != value]
            if changed:
                yield _lasted(contract, place, changed, lasting.severity)
            added = [f"{key}: {value}" for key, value in after.items() if key not in before]
            removed = [key for key in before if key not in after]
            if lasting.is_complete and (added or removed):
                yield _difference(
                    contract,
                    place,
                    Kind.VALUE_NEW,
                    Severity.RISKY,
                    "the same rows",
                    "; ".join([*sorted(added), *(f"{key} gone" for key in sorted(removed))]),
                    _LASTING_ADVICE,
                )
    for place, value in now.traits.items():
        if known.traits.get(place, value) != value:
            yield _difference(
                contract,
                place,
                Kind.VALUE_CHANGED,
                Severity.RISKY,
                known.traits[place],
                value,
                "Find out what the exchange counts now, before the figure is used.",
            )


def _lasted(contract: Contract, place: str, changed: list[tuple[str, str, str]], severity: Severity) -> Difference:
    is_text = all(value.startswith("#") for _, _, value in changed)
    is_emptied = any(value in {"null", "[]", ""} for _, _, value in changed)
    afters = sorted({value for _, _, value in changed})
    return _difference(
        contract,
        place,
        Kind.TEXT_CHANGED if is_text else Kind.VALUE_CHANGED,
        Severity.RISKY if is_emptied else severity,
        "another text" if is_text else ", ".join(sorted({value for _, value, _ in changed})[:5]),
        "a new text" if is_text else ", ".join(afters[:5]),
        _LASTING_ADVICE,
        f"{changed[0][0]}: {changed[0][1]}, then {changed[0][2]}",
    )


def _shortened(known: Inventory, now: Inventory, contract: Contract) -> Iterator[Difference]:
    pages = contract.paging
    if pages is None:
        return
    for question, (rows, _) in now.questions.items():
        least = known.questions.get(question, (0, 0))[0]
        # Markets enter and leave a status all day, so a list filtered by status may become shorter without a fault. A
        # page that is short although a next page exists is reported by the paging rules instead.
        comes_and_goes = not pages.is_never_empty and (rows == 0 or '"status"' in question)
        if rows * 2 >= least or comes_and_goes:
            continue
        yield _difference(
            contract,
            pages.rows,
            Kind.PAGE_BROKEN,
            Severity.RISKY if pages.is_never_empty else Severity.ADDITIVE,
            "as many rows as ever",
            "less than half of the rows the same question always had",
            "Find out whether a filter changed its meaning, or pages became smaller.",
            f"{least} rows, then {rows}",
        )
