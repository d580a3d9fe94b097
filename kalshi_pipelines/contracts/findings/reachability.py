"""Which endpoints and vendors do not answer, and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.checking import Outcome
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.findings.life_cycle import Reachability, unreachable
from kalshi_pipelines.contracts.language.differences import Difference
from kalshi_pipelines.warehouse.tables import contract_endpoints

_ORDER: Final = (Outcome.CHECKED, Outcome.EMPTY, Outcome.REFUSED, Outcome.MAINTENANCE, Outcome.UNREACHABLE)
_ANSWERED: Final = frozenset({Outcome.CHECKED, Outcome.EMPTY, Outcome.REFUSED})


def vendor_of(endpoint: str) -> str:
    """Whose endpoint it is: ``Kalshi`` of ``GET /markets``, ``api.exa.ai`` of ``POST api.exa.ai/search``."""
    target = endpoint.rpartition(" ")[2]
    return "Kalshi" if target.startswith("/") else target.partition("/")[0]


def taken_for(outcomes: Iterable[Outcome]) -> Outcome:
    """What an endpoint that was asked several times is taken for: the best of its outcomes."""
    return min(outcomes, key=_ORDER.index)


def unreachable_endpoints(
    connection: sa.Connection,
    environment: str,
    outcomes: Mapping[str, Sequence[Outcome]],
    contract_run_id: int,
    now_us: int,
) -> tuple[list[Difference], frozenset[str]]:
    """Write down what became of each endpoint and of its vendor.

    Returns:
        Those that have been away for longer than a hiccup, and the names of those that answered. When no endpoint of
        a vendor answers, the vendor alone is away.
    """
    each = {endpoint: taken_for(every) for endpoint, every in outcomes.items() if every}
    vendors: dict[str, list[Outcome]] = {}
    for endpoint, outcome in each.items():
        vendors.setdefault(vendor_of(endpoint), []).append(outcome)
    of_vendors = {vendor: taken_for(every) for vendor, every in vendors.items()}
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
        is_vendors = name in each and of_vendors[vendor_of(name)] is Outcome.UNREACHABLE
        if outcome is Outcome.UNREACHABLE and not is_vendors and reachability.is_finding(now_us):
            away.append(unreachable(name, _assets(name, each)))
    return away, frozenset(name for name, outcome in {**of_vendors, **each}.items() if outcome in _ANSWERED)


def _after(before: Reachability, outcome: Outcome, now_us: int) -> Reachability:
    if outcome in _ANSWERED:
        return Reachability()
    # Maintenance is announced: it neither counts as a failure nor shows that the failures before it have ended.
    return before if outcome is Outcome.MAINTENANCE else before.failed(now_us)


def _assets(name: str, asked: Mapping[str, Outcome]) -> tuple[str, ...]:
    endpoints = [name] if name in asked else [endpoint for endpoint in asked if vendor_of(endpoint) == name]
    known = [contract for endpoint in endpoints if (contract := CONTRACTS.get(endpoint))]
    return tuple(sorted({asset for contract in known for asset in contract.used_by}))


def _save(
    connection: sa.Connection,
    environment: str,
    endpoint: str,
    outcome: Outcome,
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
    if outcome in {Outcome.CHECKED, Outcome.EMPTY}:
        values["last_checked_us"] = now_us
    which = sa.and_(columns.environment == environment, columns.endpoint == endpoint)
    if not connection.execute(sa.update(contract_endpoints).where(which).values(values)).rowcount:
        connection.execute(sa.insert(contract_endpoints).values(environment=environment, endpoint=endpoint, **values))
