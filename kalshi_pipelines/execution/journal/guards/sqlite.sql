-- The parts of the guards that are written for SQLite. The other files hold the rules and statements that SQLite and
-- Postgres share.

-- name: trigger
CREATE TRIGGER {prefix}{name} {event} ON {table} {when} BEGIN {action}; END

-- name: condition
WHEN {condition}

-- name: refuse
SELECT RAISE(ABORT, '{message}');

-- name: refuse_if
-- One branch of the CASE expression that refuses a row with the reason of the first rule that holds.
WHEN {condition} THEN RAISE(ABORT, '{guard}_guard:{reason}')

-- name: not_enforced
-- The connection does not enforce the constraints and triggers on which the journal relies. Each connection of
-- SQLite decides for itself whether to enforce them.
(SELECT foreign_keys FROM pragma_foreign_keys) = 0
OR (SELECT ignore_check_constraints FROM pragma_ignore_check_constraints) = 1
OR (SELECT recursive_triggers FROM pragma_recursive_triggers) = 0

-- name: foreign_writer
-- The connection was not opened by this code: other programs, such as the sqlite3 shell, lack the function. Checking
-- the pragmas of not_enforced takes as long as writing a row, so most tables only call the function.
{writer_function}() <> 1

-- name: wrong_hash
-- An audit record does not carry the hash of its own content and of the record before it. SQLite has no SHA-256, so
-- this code adds the hash function to its connections.
NEW.hash <> {hash_function}(NEW.seq, NEW.prev_hash, NEW.body)

-- name: judge_event
-- Refuse an order event for the first rule of send.sql or admit.sql that holds.
SELECT CASE {refusals} END
FROM intents i JOIN sessions s ON s.session_id = i.session_id
WHERE i.intent_id = NEW.intent_id;

-- name: reserve
-- Count a reservation, then refuse it for the first rule of caps.sql that holds.
{count_reservation};
{count_reservation_in_market};
SELECT CASE {refusals} END
FROM scopes c
JOIN scope_markets m ON m.scope_id = c.scope_id AND m.ticker = NEW.ticker
JOIN sessions s ON s.session_id = NEW.session_id
WHERE c.scope_id = NEW.scope_id;

-- name: from_reservations
-- Nothing: NEW is the one posting that the trigger runs for.

-- name: post
-- Count a fact, such as a fill, in its scope and its market.
{begin_market};
{count_fact};
{count_fact_in_market};

-- name: day_before_posting
-- The UTC date of the day before the posting p.
date(p.at_us / {second_us} + 86400 * (-1), 'unixepoch')

-- name: day_after_posting
-- The UTC date of the day after the posting p.
date(p.at_us / {second_us} + 86400 * (1), 'unixepoch')

-- name: inbox
-- Refuse a proposal that chose its own number, time or login, or for the first rule of inbox.sql that holds. The guard
-- runs after the insertion, because only then SQLite knows the number.
SELECT CASE
WHEN NEW.login <> '' THEN RAISE(ABORT, 'inbox_guard:login')
WHEN NEW.proposal_id <> coalesce((SELECT max(p.proposal_id) FROM proposals p
                                  WHERE p.proposal_id <> NEW.proposal_id), 0) + 1
THEN RAISE(ABORT, 'inbox_guard:number')
WHEN abs(NEW.proposed_us - (julianday('now') - 2440587.5) * 86400000000) > {inbox_clock_us}
THEN RAISE(ABORT, 'inbox_guard:clock')
{refusals} END

-- name: same_proposer
-- Whether the proposal p is of the same proposer as the new one. SQLite has no logins.
p.actor_kind = NEW.actor_kind AND p.actor_name = NEW.actor_name
