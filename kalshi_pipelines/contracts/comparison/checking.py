"""The check of one answer against its contract and against the learned baseline of its endpoint.

Belongs here: the order of the checks, and the result of a check. Does not belong here: the checks themselves
(``statuses``, ``contract_comparison``, ``paging``, ``baseline``), and the contracts (``declared``).
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.baseline import Baseline, compare
from kalshi_pipelines.contracts.comparison.body_decoding import AbsurdBody, DecodedBody, decode_body
from kalshi_pipelines.contracts.comparison.contract_comparison import ContractComparison, compare_with_contract
from kalshi_pipelines.contracts.comparison.inventory import Inventory
from kalshi_pipelines.contracts.comparison.observation import Observation, observe
from kalshi_pipelines.contracts.comparison.paging import page_rules
from kalshi_pipelines.contracts.comparison.statuses import (
    STATUS_ENDPOINT,
    StatusVerdict,
    judge_status,
    refusal_differences,
)
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.declared.errors import ERROR_FIELDS, code_of, shape_of
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Contract, Field, Format, by_place, under
from kalshi_pipelines.contracts.language.differences import (
    Difference,
    Kind,
    PlaceAndKind,
    Severity,
    merge_differences,
    places_and_kinds,
)
from kalshi_pipelines.contracts.language.responses import Response

_REFUSAL: Final = "refusal"
_RULE_ADVICE: Final = (
    "Find out whether one row is wrong or the rule no longer holds, before figures made from it are used."
)


class CheckOutcome(StrEnum):
    """The outcome of a request to an endpoint, as a contract check sees it."""

    CHECKED = "checked"
    EMPTY = "empty"
    REFUSED = "refused"
    MAINTENANCE = "maintenance"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class CheckResult:
    """The result of checking one answer.

    Attributes:
        outcome: The outcome of the request.
        differences: The differences to report, the gravest first. All differences of one kind at one place are merged
            into one difference.
        inventory: Counts of the values in the body, from which a baseline learns; ``None`` if no values were counted.
            The values in the body of a refusal are counted at places that begin with ``refusal.``.
        declared: The place and the kind of every difference from the contract, even if the baseline knows the
            difference already.
        body: The decoded body; ``None`` if the check did not need to decode it.
        lists: The lists that were read to their end, as places such as ``list status=open``. Only a run that read a
            list can show whether the list is complete.
    """

    outcome: CheckOutcome
    differences: tuple[Difference, ...]
    inventory: Inventory | None
    declared: frozenset[PlaceAndKind] = frozenset()
    body: DecodedBody | None = None
    lists: frozenset[str] = frozenset()


def check(response: Response, baseline: Baseline | None = None) -> CheckResult:
    """Compare an answer with the contract of its endpoint, and with the learned baseline if there is one.

    Raises:
        KeyError: No contract is declared for the endpoint.
    """
    contract = CONTRACTS[response.request.endpoint]
    verdict = judge_status(response, contract)
    about = verdict.differences
    if verdict.is_away or verdict.is_maintenance:
        return _down(response, verdict, contract, baseline)
    if verdict.is_refusal:
        return _check_refusal(response, decode_body(response.body), contract, baseline, about)
    if not verdict.is_success:
        return _without_values(CheckOutcome.REFUSED, about)
    if not contract.fields:
        return _without_values(CheckOutcome.CHECKED if response.body else CheckOutcome.EMPTY, about)
    return _check_body(response, decode_body(response.body), contract, baseline, about)


def _down(response: Response, verdict: StatusVerdict, contract: Contract, baseline: Baseline | None) -> CheckResult:
    """Return the result for an answer while the exchange is down.

    Only a body that states the exchange status is compared.
    """
    outcome = CheckOutcome.MAINTENANCE if verdict.is_maintenance else CheckOutcome.UNREACHABLE
    if contract.endpoint != STATUS_ENDPOINT:
        return _without_values(outcome, verdict.differences)
    body = decode_body(response.body)
    if not isinstance(body.value, dict) or "exchange_active" not in body.value:
        return _without_values(outcome, verdict.differences, body)
    return _check_body(dataclasses.replace(response, status=200), body, contract, baseline, verdict.differences)


def _without_values(
    outcome: CheckOutcome, differences: Sequence[Difference], body: DecodedBody | None = None
) -> CheckResult:
    """Return the result for an answer whose values were not compared."""
    return CheckResult(outcome, merge_differences(differences), None, places_and_kinds(differences), body)


def _check_body(
    response: Response,
    body: DecodedBody,
    contract: Contract,
    baseline: Baseline | None,
    about: Sequence[Difference],
) -> CheckResult:
    try:
        observation = observe(_readable(body), contract, response)
    except AbsurdBody as error:
        return _without_values(CheckOutcome.CHECKED, [*about, _absurd(contract, str(error))], body)
    if not isinstance(body.value, dict):
        return _without_values(CheckOutcome.CHECKED, [*about, _no_object(contract, body.value)], body)
    compared = _compare_values(response, contract, observation, baseline)
    rules = _rules(body.value, response, contract)
    return CheckResult(
        _outcome(body.value, contract),
        merge_differences([*about, *compared.differences, *rules]),
        observation.inventory,
        places_and_kinds([*about, *rules]) | compared.declared,
        body,
    )


def _readable(body: DecodedBody) -> Any:  # noqa: ANN401
    if body.absurdity:
        raise AbsurdBody(body.absurdity)
    return body.value


def _compare_values(
    response: Response, contract: Contract, observation: Observation, baseline: Baseline | None
) -> ContractComparison:
    received = dt.datetime.fromtimestamp(response.received_us // 1_000_000, dt.UTC).date()
    found = compare_with_contract(contract, observation, baseline, received)
    if baseline is None:
        return found
    declared = places_and_kinds(found.differences)
    renamed = {each.place for each in found.differences if each.kind is Kind.KEY_RENAMED}
    learned = [
        each
        for each in compare(baseline, observation.inventory, contract)
        if (each.place, each.kind) not in declared and each.place not in renamed
    ]
    return dataclasses.replace(found, differences=(*found.differences, *learned))


def _rules(body: Any, response: Response, contract: Contract) -> list[Difference]:  # noqa: ANN401
    broken = [each for invariant in contract.invariants for each in invariant(body, response)]
    if contract.paging is not None and not response.is_excerpt:
        broken += page_rules(body, response, contract.paging)
    return [_difference(contract, each) for each in broken]


def _difference(contract: Contract, broken: BrokenRule) -> Difference:
    return Difference(
        contract.endpoint,
        broken.place,
        broken.kind,
        broken.severity,
        "the rule held before",
        broken.rule,
        broken.example,
        contract.assets_of(broken.place),
        _RULE_ADVICE,
    )


def _outcome(body: dict[str, Any], contract: Contract) -> CheckOutcome:
    rows = body.get(contract.paging.rows) if contract.paging else True
    return CheckOutcome.CHECKED if rows else CheckOutcome.EMPTY


def _check_refusal(
    response: Response,
    body: DecodedBody,
    contract: Contract,
    baseline: Baseline | None,
    about: Sequence[Difference],
) -> CheckResult:
    try:
        value = _readable(body)
        code = code_of(value)
        is_known = any(code in codes for codes in contract.codes.values())
        prefix = ".".join((_REFUSAL, shape_of(value) or "other", code if is_known else "other"))
        of_refusal = _contract_of_refusal(contract, value, prefix)
        observation = observe(value, of_refusal, response, prefix)
    except AbsurdBody as error:
        if response.status not in contract.errors:
            return _without_values(CheckOutcome.REFUSED, about, body)
        return _without_values(CheckOutcome.REFUSED, [*about, _absurd(contract, f"a refusal: {error}")], body)
    about = [*about, *refusal_differences(response, contract, value)]
    if any(each.kind is Kind.ERROR_SHAPE_CHANGED for each in about):
        compared = ContractComparison()
    else:
        compared = _compare_values(response, of_refusal, observation, _of_refusals(baseline, prefix))
    return CheckResult(
        CheckOutcome.REFUSED,
        merge_differences([*about, *compared.differences]),
        observation.inventory,
        places_and_kinds(about) | compared.declared,
        body,
    )


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
        contract.endpoint,
        "$",
        Kind.TYPE_CHANGED,
        Severity.BREAKING,
        "an object",
        type(body).__name__,
        "",
        contract.used_by,
        "Change the decoder before the next ingest: it cannot read any part of this answer.",
    )


def _absurd(contract: Contract, why: str) -> Difference:
    return Difference(
        contract.endpoint,
        "$",
        Kind.ABSURD,
        Severity.BREAKING,
        "a body that can be read",
        why,
        "",
        contract.used_by,
        "If this happens again, find out who answers: the vendor does not send such a body. No part of it was read.",
    )
