"""Reachability: which endpoints and vendors do not answer, and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.checking import CheckOutcome
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.findings.life_cycle import Reachability, unreachable_difference
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.warehouse.tables import contract_endpoints

_ORDER: Final = (
    CheckOutcome.CHECKED,
    CheckOutcome.EMPTY,
    CheckOutcome.REFUSED,
    CheckOutcome.MAINTENANCE,
    CheckOutcome.UNREACHABLE,
)
_ANSWERED: Final = frozenset({CheckOutcome.CHECKED, CheckOutcome.EMPTY, CheckOutcome.REFUSED})


def vendor_of(endpoint: str) -> str:
    """Return the vendor of an endpoint: ``Kalshi`` for ``GET /markets``, or the host of any other vendor."""
    target = endpoint.rpartition(" ")[2]
    return "Kalshi" if target.startswith("/") else target.partition("/")[0]


def best_outcome(outcomes: Iterable[CheckOutcome]) -> CheckOutcome:
    """Return the best outcome of an endpoint in one run. The best outcome counts as the outcome of the endpoint.

    ``_ORDER`` lists the outcomes, the best one first.
    """
    return min(outcomes, key=_ORDER.index)


def record_reachability(
    connection: sa.Connection,
    environment: str,
    outcomes: Mapping[str, Sequence[CheckOutcome]],
    contract_run_id: int,
    now_us: int,
) -> tuple[list[Difference], frozenset[str]]:
    """Record the outcome of each endpoint and of each vendor.

    Returns:
        A difference for each endpoint or vendor that did not answer for longer than a short outage, and the names of
        the endpoints and vendors that answered. If no endpoint of a vendor answers, only the vendor gets a difference.
    """
    each = {endpoint: best_outcome(every) for endpoint, every in outcomes.items() if every}
    vendors: dict[str, list[CheckOutcome]] = {}
    for endpoint, outcome in each.items():
        vendors.setdefault(vendor_of(endpoint), []).append(outcome)
    of_vendors = {vendor: best_outcome(every) for vendor, every in vendors.items()}
    before = {
        row.endpoint: Reachability(row.failures, row.failing_since_us)
        for row in connection.execute(
            sa.select(contract_endpoints).where(contract_endpoints.c.environment == environment)
        )
    }
    away = []
    for name, outcome in (*of_vendors.items(), *each.items()):
        reachability = _after(before.get(name, Reachability()), outcome, now_us)
        _save(connection, environment, name, outcome, reachability, contract_run_id, now_us)
        is_vendors = name in each and of_vendors[vendor_of(name)] is CheckOutcome.UNREACHABLE
        if outcome is CheckOutcome.UNREACHABLE and not is_vendors and reachability.is_finding(now_us):
            away.append(unreachable_difference(name, _assets(name, each)))
    return away, frozenset(name for name, outcome in {**of_vendors, **each}.items() if outcome in _ANSWERED)


def _after(before: Reachability, outcome: CheckOutcome, now_us: int) -> Reachability:
    if outcome in _ANSWERED:
        return Reachability()
    # Maintenance is announced, so it is no failure. It does not prove that earlier failures have ended.
    return before if outcome is CheckOutcome.MAINTENANCE else before.after_failure(now_us)


def _assets(name: str, outcomes: Mapping[str, CheckOutcome]) -> tuple[str, ...]:
    endpoints = [name] if name in outcomes else [endpoint for endpoint in outcomes if vendor_of(endpoint) == name]
    known = [contract for endpoint in endpoints if (contract := CONTRACTS.get(endpoint))]
    return tuple(sorted({asset for contract in known for asset in contract.used_by}))


def _save(
    connection: sa.Connection,
    environment: str,
    endpoint: str,
    outcome: CheckOutcome,
    reachability: Reachability,
    contract_run_id: int,
    now_us: int,
) -> None:
    columns = contract_endpoints.c
    values = {
        "last_outcome": outcome.value,
        "last_attempted_us": now_us,
        "failures": reachability.failures,
        "failing_since_us": reachability.since_us,
        "contract_run_id": contract_run_id,
    }
    if outcome in {CheckOutcome.CHECKED, CheckOutcome.EMPTY}:
        values["last_checked_us"] = now_us
    which = sa.and_(columns.environment == environment, columns.endpoint == endpoint)
    if not connection.execute(sa.update(contract_endpoints).where(which).values(values)).rowcount:
        connection.execute(sa.insert(contract_endpoints).values(environment=environment, endpoint=endpoint, **values))
