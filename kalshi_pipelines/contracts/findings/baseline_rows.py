"""Baselines as rows of the warehouse.

While an endpoint has findings that are not closed, the baseline of the endpoint may have a reference. The reference is
the baseline as it was before the oldest of these findings opened. Comparing answers with the reference shows whether
the difference of a finding still exists.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.baseline import Baseline, compare, learn
from kalshi_pipelines.contracts.comparison.checking import CheckResult
from kalshi_pipelines.contracts.comparison.inventory import Inventory
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.language.differences import PlaceAndKind, places_and_kinds
from kalshi_pipelines.warehouse.tables import contract_baselines

# Postgres rejects NUL characters in JSON.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


@dataclass(frozen=True)
class EndpointBaseline:
    """The stored baseline and reference of one endpoint.

    Attributes:
        baseline: The sum of all learned answers.
        reference: The baseline as it was before the oldest of the endpoint's findings that are not closed. ``None`` if
            there is no such finding, or no answer was learned before that finding opened.
    """

    baseline: Baseline
    reference: Baseline | None


def load_baselines(connection: sa.Connection, environment: str) -> dict[str, EndpointBaseline]:
    """Return the stored baseline and reference of each endpoint in an environment."""
    rows = connection.execute(
        sa.select(contract_baselines).where(contract_baselines.c.environment == environment)
    ).all()
    return {
        row.endpoint: EndpointBaseline(
            Baseline.from_json(json.loads(row.baseline)),
            None if row.reference is None else Baseline.from_json(json.loads(row.reference)),
        )
        for row in rows
    }


def differences_from_reference(
    endpoint: str, answers: Sequence[CheckResult], stored: EndpointBaseline | None
) -> frozenset[PlaceAndKind]:
    """Return place and kind of each difference between the answers of an endpoint and its reference baseline.

    The baseline has learned the difference of an open finding already, so only the reference still shows it.
    """
    contract = CONTRACTS.get(endpoint)
    if stored is None or stored.reference is None or contract is None:
        return frozenset()
    return places_and_kinds(
        difference
        for checked in answers
        if checked.inventory is not None
        for difference in compare(stored.reference, checked.inventory, contract)
    )


def save_baseline(
    connection: sa.Connection,
    environment: str,
    endpoint: str,
    stored: EndpointBaseline | None,
    inventories: Sequence[Inventory],
    *,
    keep_reference: bool,
    contract_run_id: int,
    now_us: int,
) -> None:
    """Add answers to a stored baseline, and keep or drop its reference. An unchanged row is not written."""
    before = stored.baseline if stored else None
    baseline = before
    for inventory in inventories:
        baseline = learn(baseline, inventory, now_us)
    if baseline is None:
        return
    reference = ((stored.reference if stored else None) or before) if keep_reference else None
    if stored and not inventories and (reference is None) == (stored.reference is None):
        return
    values = {
        "baseline": _text(baseline),
        "reference": None if reference is None else _text(reference),
        "observations": baseline.observations,
        "first_observed_us": baseline.first_us,
        "last_observed_us": baseline.last_us,
        "contract_run_id": contract_run_id,
    }
    columns = contract_baselines.c
    if stored:
        which = sa.and_(columns.environment == environment, columns.endpoint == endpoint)
        connection.execute(sa.update(contract_baselines).where(which).values(values))
    else:
        connection.execute(sa.insert(contract_baselines).values(environment=environment, endpoint=endpoint, **values))


def _text(baseline: Baseline) -> str:
    value: dict[str, Any] = baseline.as_json()
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _NUL.sub(r"\1\\ufffd", text).encode("utf-8", "replace").decode()
