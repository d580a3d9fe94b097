-- The statements by which a posting NEW changes the counters of its scope. SQLite and Postgres share them.
--
-- SQLite counts reservations one by one. Postgres counts all reservations of a statement together: from_reservations
-- is then a FROM clause that gives them the name NEW.
--
-- A reservation sets the scope's caps to the caps of its session. The reservation of an order that only closes a
-- position (d_orders is 0) leaves the caps as they are, and raises the cap on the worst loss if the order's fees need
-- it. A fact (a fill, a release, a settlement ...) changes
-- the counters even beyond a cap, and the scope is then marked as breached. A carried-over balance ("opening") or a
-- person's review ("review") raises the cap on the worst loss to the present worst loss, so that no room is left for
-- further orders. An opening balance does the same with the caps on orders and notional. A review also ends the breach.

-- name: count_reservation
-- Count a reservation in its scope.
UPDATE scopes SET
(orders_cap, notional_cap_microdollars, worst_cap_microdollars) =
(SELECT
 CASE WHEN NEW.d_orders = 1 THEN its.orders_cap ELSE scopes.orders_cap END,
 CASE WHEN NEW.d_orders = 1 THEN its.notional_cap_microdollars ELSE scopes.notional_cap_microdollars END,
 CASE WHEN NEW.d_orders = 1 THEN its.worst_cap_microdollars
 WHEN scopes.worst_microdollars + {worst_loss_of_reservation} > scopes.worst_cap_microdollars
 THEN scopes.worst_microdollars + {worst_loss_of_reservation}
 ELSE scopes.worst_cap_microdollars END
 FROM session_caps its
 WHERE its.session_id = NEW.session_id AND its.kind = scopes.kind),
orders = orders + NEW.d_orders,
notional_microdollars = notional_microdollars + NEW.d_notional_microdollars,
worst_microdollars = worst_microdollars + {worst_loss_of_reservation}
{from_reservations} WHERE scopes.scope_id = NEW.scope_id;

-- name: count_reservation_in_market
-- Count a reservation in its market's row of the scope. Add the row if the scope has none for the market.
INSERT INTO scope_markets (
    scope_id, ticker, if_no_microdollars, if_yes_microdollars, spent_microdollars,
    position_centicontracts, open_bids_centicontracts, open_asks_centicontracts
)
SELECT
    NEW.scope_id, NEW.ticker, NEW.d_if_no_microdollars, NEW.d_if_yes_microdollars, 0,
    0, NEW.d_open_bids_centicontracts, NEW.d_open_asks_centicontracts
{from_reservations} WHERE NEW.kind = 'reserve'
ON CONFLICT (scope_id, ticker) DO UPDATE SET
if_no_microdollars = scope_markets.if_no_microdollars + excluded.if_no_microdollars,
if_yes_microdollars = scope_markets.if_yes_microdollars + excluded.if_yes_microdollars,
open_bids_centicontracts = scope_markets.open_bids_centicontracts + excluded.open_bids_centicontracts,
open_asks_centicontracts = scope_markets.open_asks_centicontracts + excluded.open_asks_centicontracts;

-- name: begin_market
-- Add a row of zeros for the market if the scope has no row for it.
INSERT INTO scope_markets (
    scope_id, ticker, if_no_microdollars, if_yes_microdollars, spent_microdollars,
    position_centicontracts, open_bids_centicontracts, open_asks_centicontracts
)
VALUES (NEW.scope_id, NEW.ticker, 0, 0, 0, 0, 0, 0)
ON CONFLICT DO NOTHING;

-- name: count_fact
-- Count a fact in its scope. If the worst loss then exceeds the cap, mark the scope as breached or raise the cap.
UPDATE scopes SET
orders = orders + NEW.d_orders,
notional_microdollars = notional_microdollars + NEW.d_notional_microdollars,
worst_microdollars = worst_microdollars + {worst_loss_change},
breached = CASE
    WHEN NEW.kind = 'review' THEN 0
    WHEN NEW.kind <> 'opening' AND worst_microdollars + {worst_loss_change} > worst_cap_microdollars THEN 1
    ELSE breached
END,
worst_cap_microdollars = CASE
    WHEN NEW.kind IN ('opening', 'review') AND worst_microdollars + {worst_loss_change} > worst_cap_microdollars
    THEN worst_microdollars + {worst_loss_change}
    ELSE worst_cap_microdollars
END,
orders_cap = CASE
    WHEN NEW.kind = 'opening' AND orders + NEW.d_orders > orders_cap THEN orders + NEW.d_orders
    ELSE orders_cap
END,
notional_cap_microdollars = CASE
    WHEN NEW.kind = 'opening' AND notional_microdollars + NEW.d_notional_microdollars > notional_cap_microdollars
    THEN notional_microdollars + NEW.d_notional_microdollars
    ELSE notional_cap_microdollars
END
WHERE scope_id = NEW.scope_id;

-- name: count_fact_in_market
-- Count a fact in its market's row of the scope.
UPDATE scope_markets SET
if_no_microdollars = if_no_microdollars + NEW.d_if_no_microdollars,
if_yes_microdollars = if_yes_microdollars + NEW.d_if_yes_microdollars,
spent_microdollars = spent_microdollars + NEW.d_spent_microdollars,
position_centicontracts = position_centicontracts + NEW.d_position_centicontracts,
open_bids_centicontracts = open_bids_centicontracts + NEW.d_open_bids_centicontracts,
open_asks_centicontracts = open_asks_centicontracts + NEW.d_open_asks_centicontracts
WHERE scope_id = NEW.scope_id AND ticker = NEW.ticker;

-- name: worst_loss_of_reservation
-- The change of the scope's worst loss by a reservation. If the market is new to the scope, the reservation is the
-- market's worst loss.
coalesce(
    {worst_loss_change},
    CASE WHEN NEW.d_if_no_microdollars >= NEW.d_if_yes_microdollars
    THEN NEW.d_if_no_microdollars ELSE NEW.d_if_yes_microdollars END
)

-- name: worst_loss_change
-- The change of the scope's worst loss by the posting: the market's worst loss after the posting minus the one before.
-- A market's worst loss is the larger of its two losses (if NO wins, if YES wins), at least 0. The change is NULL if
-- the market is new to the scope.
(SELECT CASE
 WHEN was.if_no_microdollars + NEW.d_if_no_microdollars >= was.if_yes_microdollars + NEW.d_if_yes_microdollars
 AND was.if_no_microdollars + NEW.d_if_no_microdollars > 0
 THEN was.if_no_microdollars + NEW.d_if_no_microdollars
 WHEN was.if_yes_microdollars + NEW.d_if_yes_microdollars > 0
 THEN was.if_yes_microdollars + NEW.d_if_yes_microdollars
 ELSE 0
 END - was.worst_microdollars
 FROM scope_markets was
 WHERE was.scope_id = NEW.scope_id AND was.ticker = NEW.ticker)
