-- The rules of the cap guard, which say when a reservation exceeds a cap. SQLite and Postgres share them.
--
-- The guard runs after a posting of kind "reserve" has moved the counters of its scope, so the conditions see the
-- counters with the reservation included. NEW is the posting, c its scope, m the market's row in that scope and
-- s the session of the posting. A condition that holds refuses the posting with the message "cap_guard:<reason>".
-- The caps of a single scope (orders, notional, worst loss) are CHECK constraints of the table scopes.
--
-- An order that only closes a position counts as no order (d_orders is 0), and no cap refuses it.
--
-- A rule "in <kind> scopes" applies to scopes of that kind only. It becomes "c.kind = '<kind>' AND <condition>",
-- so a condition with OR needs parentheses.

-- refuse: scope_breached
-- The scope is breached: an earlier fact, such as a fill, exceeded its cap on the worst loss.
c.breached = 1

-- refuse in account scopes: position
-- If every open bid were filled, the long position in the market would exceed the position cap.
m.position_centicontracts + m.open_bids_centicontracts > s.position_cap_centicontracts
AND NEW.d_open_bids_centicontracts > 0

-- refuse in account scopes: position
-- If every open ask were filled, the short position in the market would exceed the position cap.
m.open_asks_centicontracts - m.position_centicontracts > s.position_cap_centicontracts
AND NEW.d_open_asks_centicontracts > 0

-- refuse in account scopes: closing
-- The order claims to close more contracts than the account holds and no other open order closes. A dry run closes what
-- the live account holds, and sends nothing.
c.mode = 'live'
AND (SELECT i.closing_centicontracts FROM intents i WHERE i.intent_id = NEW.intent_id) >
(CASE WHEN NEW.d_open_asks_centicontracts = 0
 AND m.position_centicontracts + m.open_bids_centicontracts - NEW.d_open_bids_centicontracts < 0
 THEN NEW.d_open_bids_centicontracts - m.position_centicontracts - m.open_bids_centicontracts
 WHEN NEW.d_open_asks_centicontracts > 0
 AND m.position_centicontracts - m.open_asks_centicontracts + NEW.d_open_asks_centicontracts > 0
 THEN m.position_centicontracts - m.open_asks_centicontracts + NEW.d_open_asks_centicontracts
 ELSE 0 END)

-- refuse in rolling scopes: worst_loss
-- The worst loss of the rolling day exceeds its cap.
NEW.d_orders = 1 AND (SELECT sum(h.worst_microdollars) {from_rolling_day}) > c.worst_cap_microdollars

-- refuse in rolling scopes: notional
-- The notional of the rolling day exceeds its cap.
NEW.d_orders = 1 AND (SELECT sum(h.notional_microdollars) {from_rolling_day}) > c.notional_cap_microdollars

-- refuse in rolling scopes: order_count
-- The number of orders in the rolling day exceeds its cap.
NEW.d_orders = 1 AND (SELECT sum(h.orders) {from_rolling_day}) > c.orders_cap

-- name: from_rolling_day
-- The hourly scopes h that make up the rolling day of the scope c: its own hour, the hours before, and a few later
-- hours. If the clock went back, postings may already have been counted in a later hour.
FROM scopes h
WHERE h.environment = c.environment AND h.subaccount = c.subaccount AND h.mode = c.mode
AND h.hour BETWEEN c.hour - {day_hours} AND c.hour + {hours_ahead}
