"""The body of an order with every optional field given."""

from typing import Final

from kalshi_pipelines.execution.orders.request import OrderRequest
from kalshi_pipelines.execution.orders.terms import (
    ClientOrderId,
    Contracts,
    MarketTicker,
    OrderId,
    Side,
    TimeInForce,
    YesPrice,
)

REQUEST: Final = OrderRequest(
    client_order_id=ClientOrderId("kx1-abcdefgh"),
    ticker=MarketTicker("KXMLB-26NOV22-TOR"),
    side=Side.BID,
    price=YesPrice(5_600),
    count=Contracts(1_050),
    time_in_force=TimeInForce.GOOD_TILL_CANCELED,
    subaccount=3,
    exchange_index=2,
    order_group_id=OrderId("5a1e3f00-group"),
    expires_us=1_795_400_000_000_000,
    post_only=True,
)
