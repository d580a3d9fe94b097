-- The rules of the send guard, which say when an order must not be sent. SQLite and Postgres share them.
--
-- The guard runs before an event moves an order to the state "sending". In the conditions, NEW is that event,
-- i is the order's intent and s is the session of the intent. The first condition that holds refuses the event with
-- the message "send_guard:<reason>".

-- refuse: not_live
-- The order is not live, or its session's run was not started by hand.
i.mode <> 'live' OR i.origin <> 'by_hand'

-- refuse: kill
-- The kill switch is engaged. A journal without any kill event counts as engaged.
coalesce((SELECT k.engaged FROM kill_events k ORDER BY k.seq DESC LIMIT 1), 1) = 1

-- refuse: session_expired
-- The time of the event lies outside the session's lifetime.
NEW.at_us < s.opened_us OR NEW.at_us >= s.expires_us

-- refuse: session_ended
-- The session has ended.
EXISTS (SELECT 1 FROM session_ends e WHERE e.session_id = i.session_id)

-- refuse: lease
-- The session does not hold a valid lease of its sub-account.
NOT EXISTS (SELECT 1 FROM leases l WHERE l.session_id = i.session_id AND l.until_us > NEW.at_us)

-- refuse: code_version
-- The order would be sent by another version of the code than the version that opened the session.
NEW.code_version <> s.code_version

-- refuse: clock
-- The clock went back: the order would be sent before it was planned.
NEW.at_us < i.planned_us

-- refuse: stale
-- The proposal is not valid yet or not valid any longer.
NEW.at_us < i.as_of_us OR NEW.at_us > i.valid_until_us

-- refuse: unreserved
-- The order lacks a reservation with exactly its own amounts in one scope of each kind: session, day, rolling, event
-- and account. The scopes of event, account and day count the whole order. The scopes of session and hour may leave out
-- contracts that close a position which was taken elsewhere.
(SELECT count(DISTINCT c.kind) FROM postings p JOIN scopes c ON c.scope_id = p.scope_id
 WHERE p.dedupe = 'reserve:' || i.intent_id
 AND p.kind = 'reserve'
 AND p.intent_id = i.intent_id
 AND p.ticker = i.ticker
 AND p.session_id = i.session_id
 AND c.environment = i.environment
 AND c.subaccount = i.subaccount
 AND c.mode = i.mode
 AND p.at_us BETWEEN i.planned_us AND NEW.at_us
 AND {has_own_key}
 AND CASE i.side WHEN 'bid' THEN p.d_open_asks_centicontracts ELSE p.d_open_bids_centicontracts END = 0
 AND {counted} <= i.count_centicontracts
 AND {counted} >= i.count_centicontracts
 - CASE WHEN c.kind IN ('session', 'rolling') THEN i.closing_centicontracts ELSE 0 END
 AND p.d_if_no_microdollars = CASE WHEN {counted} = 0 THEN 0 ELSE i.reserved_if_no_microdollars
 - CASE i.side WHEN 'bid' THEN (i.count_centicontracts - {counted}) * i.price_centicents ELSE 0 END END
 AND p.d_if_yes_microdollars = CASE WHEN {counted} = 0 THEN 0 ELSE i.reserved_if_yes_microdollars
 - CASE i.side WHEN 'bid' THEN 0 ELSE (i.count_centicontracts - {counted}) * (10000 - i.price_centicents) END END
 AND p.d_notional_microdollars = i.notional_microdollars
 AND p.d_orders = CASE WHEN i.closing_centicontracts = i.count_centicontracts THEN 0 ELSE 1 END) <> 5

-- refuse: breached
-- A scope in which the order is reserved is breached: facts exceeded its cap on the worst loss.
EXISTS (SELECT 1 FROM postings p JOIN scopes c ON c.scope_id = p.scope_id
        WHERE p.dedupe = 'reserve:' || i.intent_id AND c.breached = 1)

-- refuse: unresolved
-- Another order of the same sub-account and market is unresolved: it is not known whether the exchange has it.
EXISTS (SELECT 1 FROM open_intents o
        WHERE o.environment = i.environment AND o.subaccount = i.subaccount AND o.ticker = i.ticker
        AND o.state IN ('sending', 'unknown'))

-- refuse: no_group
-- The order belongs to no order group. A halt and a proof of absence need a group that they can fence.
i.order_group_id IS NULL

-- refuse: fenced
-- The order's group is fenced. A halt or a proof of absence relies on the fence, so no further order may use the group.
EXISTS (SELECT 1 FROM fences f WHERE f.order_group_id = i.order_group_id)

-- refuse: approval
-- The order needs approval, and no other person approved exactly this request in time.
i.approval_required = 1
AND NOT EXISTS (SELECT 1 FROM approvals a
                WHERE a.request_sha256 = i.request_sha256 AND a.approved_by <> i.actor_name
                AND a.approved_us <= NEW.at_us AND a.expires_us > NEW.at_us)

-- refuse: killed_since_opened
-- The kill switch was engaged after the session was opened. Releasing the switch permits new sessions; stopped
-- sessions stay stopped.
EXISTS (SELECT 1 FROM kill_events k WHERE k.engaged = 1 AND k.audit_seq > s.audit_seq)

-- name: counted
-- The contracts of the intent i that the scope of the reservation p counts.
(p.d_open_bids_centicontracts + p.d_open_asks_centicontracts)

-- name: has_own_key
-- Whether the scope c is the scope in which the reservation p of the intent i must be counted. Without this check, a
-- writer could count each order in a separate scope with separate caps. After the clock went back, the newest day
-- counts, which may be at most one day ahead of the posting.
CASE c.kind
WHEN 'session' THEN c.key = i.session_id
WHEN 'event' THEN c.key = i.event_ticker
WHEN 'account' THEN c.key = '{account_key}'
WHEN 'rolling' THEN c.hour = p.at_us / {hour_us} AND c.key = CAST(c.hour AS text)
ELSE c.key BETWEEN {day_before_posting} AND {day_after_posting}
     AND c.key >= (SELECT d.key FROM scopes d
                   WHERE d.kind = 'day' AND d.environment = c.environment AND d.subaccount = c.subaccount
                   AND d.mode = c.mode AND d.opened_us <= p.at_us
                   ORDER BY d.key DESC LIMIT 1)
END
