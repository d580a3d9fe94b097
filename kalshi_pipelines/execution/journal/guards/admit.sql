-- The rules of the admit guard, which say when an order must not be admitted. SQLite and Postgres share them.
--
-- The guard runs before an event moves an order to the state "reserved". In the conditions, NEW is that event,
-- i is the order's intent and s is the session of the intent. The first condition that holds refuses the event with
-- the message "admit_guard:<reason>". The caps of scopes are not checked here but on each posting: see caps.sql.

-- refuse: session_expired
-- The time of the event lies outside the session's lifetime.
NEW.at_us < s.opened_us OR NEW.at_us >= s.expires_us

-- refuse: session_ended
-- The session has ended.
EXISTS (SELECT 1 FROM session_ends e WHERE e.session_id = i.session_id)

-- refuse: order_notional
-- The notional of this one order is larger than the session allows. Contracts that close a position do not count.
i.notional_microdollars > s.order_notional_cap_microdollars

-- refuse: order_worst_loss
-- The worst loss that this one order can add is larger than the session allows: the price of the contracts that open a
-- position, and the fee bound. An order that only closes a position adds no loss to the loss of the position.
i.closing_centicontracts < i.count_centicontracts
AND i.notional_microdollars + i.fee_bound_microdollars > s.order_worst_cap_microdollars

-- refuse: message_rate
-- The account made more attempts within the last minute than the session allows.
(SELECT count(*) FROM attempts a
 WHERE a.environment = i.environment AND a.subaccount = i.subaccount AND a.mode = i.mode
 AND a.at_us > NEW.at_us - {minute_us}) > s.attempts_per_minute_cap
