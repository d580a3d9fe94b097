-- The parts of the guards that are written for Postgres. The other files hold the rules and statements that SQLite and
-- Postgres share.

-- name: function
-- A guard's function runs with the rights of its owner. A role that writes postings therefore needs no right to change
-- a counter.
CREATE OR REPLACE FUNCTION {prefix}{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp AS $guard${body}$guard$

-- name: revoke_function
-- Otherwise any role could call the function from a trigger on its own table, with the rights of the function's owner.
REVOKE ALL ON FUNCTION {prefix}{name}() FROM PUBLIC

-- name: trigger
CREATE TRIGGER {prefix}{name} {event} ON {table} {rows} FOR EACH {each} {when} EXECUTE FUNCTION {prefix}{function}()

-- name: always
-- The trigger also fires in a database session whose replication role switches ordinary triggers off.
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {prefix}{name}

-- name: condition
WHEN ({condition})

-- name: refuse_if
-- One branch of the CASE expression that returns the message of the first rule that holds. One query for all rules
-- takes about half as long as a query for each rule.
WHEN {condition} THEN '{guard}_guard:{reason}'

-- name: then
-- The body of a function that runs one of the statements that SQLite and Postgres share.
BEGIN {action}; RETURN NEW; END

-- name: append_only
-- Refuse the change or deletion of a row, in any table that uses this function.
BEGIN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'append_only:' || TG_TABLE_NAME;
END

-- name: audit_chain
-- An audit record must carry the hash of its own content and of the record before it.
BEGIN
IF NEW.hash <> encode(sha256(convert_to(
    '{hash_domain}' || chr(10) || NEW.seq || chr(10) || coalesce(NEW.prev_hash, '') || chr(10) || NEW.body, 'UTF8'
)), 'hex') THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'audit:hash';
END IF;
RETURN NEW;
END

-- name: judge_event
-- Refuse an order event for the first rule of send.sql or admit.sql that holds.
DECLARE refusal text;
BEGIN
SELECT CASE {refusals} END INTO refusal
FROM intents i JOIN sessions s ON s.session_id = i.session_id
WHERE i.intent_id = NEW.intent_id;
IF refusal IS NOT NULL THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = refusal;
END IF;
RETURN NEW;
END

-- name: reserve
-- Count all reservations of a statement, then refuse them for the first rule of caps.sql that holds in the first scope.
-- An UPDATE changes a row only once, so a statement must not hold two reservations for one scope.
#variable_conflict use_column
DECLARE refusal text;
BEGIN
IF (SELECT count(*) <> count(DISTINCT scope_id) FROM new_postings WHERE kind = 'reserve') THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'reservation:twice_in_a_scope';
END IF;
{count_reservation};
{count_reservation_in_market};
SELECT judged.message INTO refusal
FROM (
    SELECT c.scope_id, CASE {refusals} END AS message
    {from_reservations}
    JOIN scopes c ON c.scope_id = NEW.scope_id
    JOIN scope_markets m ON m.scope_id = c.scope_id AND m.ticker = NEW.ticker
    JOIN sessions s ON s.session_id = NEW.session_id
) judged
WHERE judged.message IS NOT NULL ORDER BY judged.scope_id LIMIT 1;
IF refusal IS NOT NULL THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = refusal;
END IF;
RETURN NULL;
END

-- name: from_reservations
-- The reservations among the postings that the statement has inserted.
FROM (SELECT * FROM new_postings p WHERE p.kind = 'reserve') AS NEW

-- name: post
-- Count a fact, such as a fill, in its scope and its market.
BEGIN
{begin_market};
{count_fact};
{count_fact_in_market};
RETURN NEW;
END

-- name: day_before_posting
-- The UTC date of the day before the posting p.
to_char(to_timestamp(p.at_us / {second_us} + 86400 * (-1)) AT TIME ZONE 'UTC', 'YYYY-MM-DD')

-- name: day_after_posting
-- The UTC date of the day after the posting p.
to_char(to_timestamp(p.at_us / {second_us} + 86400 * (1)) AT TIME ZONE 'UTC', 'YYYY-MM-DD')

-- name: inbox
-- Give a proposal its number and its time, so that no proposer can choose them. If the login may only propose, its name
-- is stored, and the proposal's source begins with it. Then refuse the proposal for the first rule of inbox.sql that
-- holds.
DECLARE refusal text;
BEGIN
IF NEW.proposal_id IS NOT NULL THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'inbox_guard:number';
END IF;
NEW.proposal_id := nextval('proposals_proposal_id_seq');
NEW.proposed_us := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
NEW.login := coalesce((
    SELECT me.rolname::text FROM pg_roles me JOIN pg_roles r ON r.rolname = '{proposer_role}'
    WHERE me.rolname = session_user AND NOT me.rolsuper AND pg_has_role(me.oid, r.oid, 'MEMBER')
), '');
IF NEW.login <> '' THEN NEW.source := left(NEW.login || ': ' || NEW.source, 200); END IF;
refusal := CASE {refusals} END;
IF refusal IS NOT NULL THEN
RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = refusal;
END IF;
RETURN NEW;
END

-- name: same_proposer
-- Whether the proposal p is of the same proposer as the new one. A login that may only propose is one proposer,
-- whatever names it uses.
p.login = NEW.login
AND (NEW.login <> '' OR (p.actor_kind = NEW.actor_kind AND p.actor_name = NEW.actor_name))
