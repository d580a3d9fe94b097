"""One answer against its contract and against what was learned of its endpoint.

Belongs here: the order of the checks and what comes of an answer. Does not belong here: the checks (``statuses``,
``expectations``, ``paging``, ``baseline``), and the contracts (``declared``).
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.baseline import Baseline, compare
from kalshi_pipelines.contracts.comparison.body_decoding import AbsurdBody, decoded
from kalshi_pipelines.contracts.comparison.cross_checks import differences_between
from kalshi_pipelines.contracts.comparison.expectations import Expectations
from kalshi_pipelines.contracts.comparison.inventory import Inventory
from kalshi_pipelines.contracts.comparison.observation import Stock, stock_of
from kalshi_pipelines.contracts.comparison.paging import page_rules
from kalshi_pipelines.contracts.comparison.statuses import STATUS_ENDPOINT, judged, refusal_differences
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.declared.errors import ERROR_FIELDS, code_of, shape_of
from kalshi_pipelines.contracts.language.declarations import Broken, Contract, Field, Format, by_place, under
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity, merged
from kalshi_pipelines.contracts.language.responses import Response

_REFUSAL: Final = "refusal"
_RULE_ADVICE: Final = "See whether one row is wrong or the rule no longer holds, before figures made of it are used."


class Outcome(StrEnum):
    """What came of asking an endpoint."""

    CHECKED = "checked"
    EMPTY = "empty"
    REFUSED = "refused"
    MAINTENANCE = "maintenance"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Checked:
    """What one answer showed.

    Attributes:
        outcome: What came of asking.
        differences: One for each place and kind, the gravest first.
        inventory: What was seen, to be learned if nothing is absurd; ``None`` if there was nothing to see. That of a
            refusal has places of its own, and is worth learning as well.
    """

    outcome: Outcome
    differences: tuple[Difference, ...]
    inventory: Inventory | None


def check(response: Response, baseline: Baseline | None = None) -> Checked:
    """Compare an answer with its contract and with the baseline of its endpoint in its environment.

    Raises:
        KeyError: No contract is declared for the endpoint.
    """
    contract = CONTRACTS[response.asked.endpoint]
    verdict = judged(response, contract)
    about = list(verdict.differences)
    if verdict.is_away or verdict.is_maintenance:
        if contract.endpoint == STATUS_ENDPOINT and _tells_status(response.body):
            return _answered(dataclasses.replace(response, status=200), contract, baseline, about)
        return Checked(Outcome.MAINTENANCE if verdict.is_maintenance else Outcome.UNREACHABLE, merged(about), None)
    if verdict.is_refusal:
        return _refusal(response, contract, baseline, about)
    if not verdict.is_success:
        return Checked(Outcome.REFUSED, merged(about), None)
    if not contract.fields:
        return Checked(Outcome.CHECKED if response.body else Outcome.EMPTY, merged(about), None)
    return _answered(response, contract, baseline, about)


def _answered(response: Response, contract: Contract, baseline: Baseline | None, about: list[Difference]) -> Checked:
    try:
        body = decoded(response.body)
        stock = stock_of(body, contract, response)
    except AbsurdBody as error:
        return Checked(Outcome.CHECKED, merged([*about, _absurd(contract, str(error))]), None)
    if not isinstance(body, dict):
        return Checked(Outcome.CHECKED, merged([*about, _no_object(contract, body)]), None)
    about += _compared(response, contract, stock, baseline)
    about += _rules(body, response, contract)
    return Checked(_outcome(body, contract), merged(about), stock.inventory)


def _compared(response: Response, contract: Contract, stock: Stock, baseline: Baseline | None) -> list[Difference]:
    received = dt.datetime.fromtimestamp(response.received_us // 1_000_000, dt.UTC).date()
    found = Expectations(contract, stock, baseline, received).differences()
    if baseline is None:
        return found
    declared = {(each.place, each.kind) for each in found}
    renamed = {each.place for each in found if each.kind is Kind.KEY_RENAMED}
    return found + [
        each
        for each in compare(baseline, stock.inventory, contract)
        if (each.place, each.kind) not in declared and each.place not in renamed
    ]


def _rules(body: Any, response: Response, contract: Contract) -> list[Difference]:  # noqa: ANN401
    broken = [each for invariant in contract.invariants for each in invariant(body, response)]
    if contract.pages is not None and not response.is_excerpt:
        broken += page_rules(body, response, contract.pages)
    return [_difference(contract, each) for each in broken]


def _difference(contract: Contract, broken: Broken) -> Difference:
    return Difference(
        contract.endpoint, broken.place, broken.kind, broken.severity, "always so before", broken.rule, broken.example,
        contract.assets_of(broken.place), _RULE_ADVICE,
    )  # fmt: skip


def _outcome(body: dict[str, Any], contract: Contract) -> Outcome:
    rows = body.get(contract.pages.rows) if contract.pages else True
    return Outcome.CHECKED if rows else Outcome.EMPTY


def _refusal(response: Response, contract: Contract, baseline: Baseline | None, about: list[Difference]) -> Checked:
    try:
        body = decoded(response.body)
        code = code_of(body)
        is_known = any(code in codes for codes in contract.codes.values())
        prefix = ".".join((_REFUSAL, shape_of(body) or "other", code if is_known else "other"))
        of_refusal = _contract_of_refusal(contract, body, prefix)
        stock = stock_of(body, of_refusal, response, prefix)
    except AbsurdBody as error:
        if response.status not in contract.errors:
            return Checked(Outcome.REFUSED, merged(about), None)
        return Checked(Outcome.REFUSED, merged([*about, _absurd(contract, f"a refusal: {error}")]), None)
    about += refusal_differences(response, contract, body)
    if not any(each.kind is Kind.ERROR_SHAPE_CHANGED for each in about):
        about += _compared(response, of_refusal, stock, _of_refusals(baseline, prefix))
    return Checked(Outcome.REFUSED, merged(about), stock.inventory)


def _contract_of_refusal(contract: Contract, body: object, prefix: str) -> Contract:
    whole = Field(prefix, Format.OBJECT, is_required=False)
    fields = by_place((whole,), under(prefix, ERROR_FIELDS.get(shape_of(body), ())))
    return Contract(contract.endpoint, fields, used_by=contract.used_by)


def _of_refusals(baseline: Baseline | None, prefix: str) -> Baseline | None:
    if baseline is None:
        return None
    places = {name: each for name, each in baseline.inventory.places.items() if name.startswith(prefix)}
    return dataclasses.replace(baseline, inventory=Inventory(places)) if places else None


def _no_object(contract: Contract, body: object) -> Difference:
    return Difference(
        contract.endpoint, "$", Kind.TYPE_CHANGED, Severity.BREAKING, "an object", type(body).__name__, "",
        contract.used_by, "Nothing of the answer can be read: change the decoder before the next ingest.",
    )  # fmt: skip


def _absurd(contract: Contract, why: str) -> Difference:
    return Difference(
        contract.endpoint, "$", Kind.ABSURD, Severity.BREAKING, "a body that can be read", why, "", contract.used_by,
        "Nothing of the answer was read. If it comes again, see who answers: this is not what the vendor sends.",
    )  # fmt: skip


def _tells_status(body: bytes) -> bool:
    try:
        value = decoded(body)
    except AbsurdBody:
        return False
    return isinstance(value, dict) and "exchange_active" in value


def check_together(responses: Sequence[Response]) -> tuple[Difference, ...]:
    """Compare the answers of one run with each other: what the balance says of positions, which shards exist."""
    return merged(differences_between(responses))
