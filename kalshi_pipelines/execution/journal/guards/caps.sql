-- When a reservation passes a cap: the same rules for SQLite and Postgres.
--
-- The guard runs after a posting of kind "reserve" has moved the counters of its scope, so the conditions see the
-- counters with the reservation included. NEW is the posting, c its scope, m the market's row in that scope and
-- s the session of the posting. A condition that holds refuses the posting with the message "cap_guard:<reason>".
-- The caps of a single scope (orders, notional, worst loss) are CHECK constraints of the table scopes.
--
-- A rule "in <kind> scopes" applies to scopes of that kind only. SQLite gets it as "c.kind = '<kind>' AND <condition>",
-- so a condition with OR needs parentheses.

-- refuse: scope_breached
-- An earlier fact, such as a fill, took the scope beyond its cap of the worst loss.
c.breached = 1

-- refuse in account scopes: position
-- The position in the market could become too long if every open bid were filled.
m.position_centicontracts + m.open_bids_centicontracts > s.position_cap_centicontracts
AND NEW.d_open_bids_centicontracts > 0

-- refuse in account scopes: position
-- The position in the market could become too short if every open ask were filled.
m.open_asks_centicontracts - m.position_centicontracts > s.position_cap_centicontracts
AND NEW.d_open_asks_centicontracts > 0

-- refuse in rolling scopes: worst_loss
-- The worst loss of the rolling day is too large.
(SELECT sum(h.worst_microdollars) {from_rolling_day}) > c.worst_cap_microdollars

-- refuse in rolling scopes: notional
-- The notional of the rolling day is too large.
(SELECT sum(h.notional_microdollars) {from_rolling_day}) > c.notional_cap_microdollars

-- refuse in rolling scopes: order_count
-- The rolling day has too many orders.
(SELECT sum(h.orders) {from_rolling_day}) > c.orders_cap

-- name: from_rolling_day
-- The hourly scopes h that make up the rolling day of the scope c: its own hour, the hours before, and those ahead
-- that a clock which went back has already counted in.
FROM scopes h
WHERE h.environment = c.environment AND h.subaccount = c.subaccount AND h.mode = c.mode
AND h.hour BETWEEN c.hour - {day_hours} AND c.hour + {hours_ahead}
