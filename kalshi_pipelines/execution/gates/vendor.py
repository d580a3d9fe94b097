"""The checks that the exchange's API still has the expected format.

The checks use the results of contract runs, which compare the API's answers with the declared format.
"""

from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.contracts.findings.store import last_success_us, open_findings
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.execution.gates.order_checks import check
from kalshi_pipelines.execution.journal.records import Check
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.units import DAY_US, instant
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explain_failures

#: The greatest age of the last successful contract run, which checked the API's format. If that run is older, no live
#: session can open.
MOST_AGE_US: Final = DAY_US
#: The endpoints that this program needs for checking an order and for following its outcome.
DEPENDS_ON: Final = frozenset(
    {
        "GET /exchange/status",
        "GET /exchange/user_data_timestamp",
        "GET /markets/{ticker}",
        "GET /markets",
        "GET /markets/{ticker}/orderbook",
        "GET /markets/orderbooks",
        "GET /events/{event_ticker}",
        "GET /events",
        "GET /series/{series_ticker}",
        "GET /series",
        "GET /portfolio/balance",
        "GET /portfolio/fills",
        "GET /portfolio/order_groups",
        "GET /portfolio/orders",
        "GET /portfolio/orders/{order_id}",
        "GET /portfolio/positions",
        "GET /portfolio/settlements",
        "GET /historical/fills",
        "GET /historical/orders",
    }
)


def vendor_checks(warehouse: sa.Engine, environment: str, now_us: int) -> tuple[Check, ...]:
    """Check that the API's format was checked in the last 24 hours, and that every endpoint for orders is intact.

    The format is checked by contract runs, which store their results in the warehouse. If the warehouse cannot be read,
    the check fails.
    """
    try:
        with explain_failures(warehouse):
            last, open_now = last_success_us(warehouse, environment), open_findings(warehouse, environment)
    except WarehouseUnavailable as error:
        return (check(DenialReason.CONTRACTS_NOT_CHECKED, False, "a contract run within 24 hours", error),)
    broken = sorted(
        f"{finding.difference.endpoint} {finding.difference.place}"
        for finding in open_now
        if finding.difference.severity is Severity.BREAKING and finding.difference.endpoint in DEPENDS_ON
    )
    return (
        check(
            DenialReason.CONTRACTS_NOT_CHECKED,
            last is not None and 0 <= now_us - last <= MOST_AGE_US,
            "a successful contract run within 24 hours",
            "none" if last is None else f"the last one at {instant(last)}",
        ),
        check(DenialReason.CONTRACTS_BROKEN, not broken, "no open breaking finding", ", ".join(broken[:5]) or "none"),
    )
