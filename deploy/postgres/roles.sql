-- Roles of the journal on Postgres. The database's owner runs this after `migrate`, and again after each upgrade:
--   psql "$KALSHI_JOURNAL_OWNER_URL" -f deploy/postgres/roles.sql
-- The roles themselves cannot log in. Give each program its own login:
--   CREATE ROLE agent LOGIN PASSWORD '...' CONNECTION LIMIT 5 IN ROLE kalshi_proposer;
--   CREATE ROLE executor LOGIN PASSWORD '...' IN ROLE kalshi_executor;
--   CREATE ROLE pipelines LOGIN PASSWORD '...' IN ROLE kalshi_halter;
-- The roles cover the journal only. The warehouse holds the rate budget that all programs share, so the pipelines and the
-- executor both write to it: KALSHI_WAREHOUSE_URL must name its owner's login, or one with all rights on its tables.

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['kalshi_proposer', 'kalshi_executor', 'kalshi_auditor', 'kalshi_halter'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
    END IF;
  END LOOP;
END
$$;

REVOKE ALL ON SCHEMA journal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA journal
  FROM PUBLIC, kalshi_proposer, kalshi_executor, kalshi_auditor, kalshi_halter;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA journal
  FROM PUBLIC, kalshi_proposer, kalshi_executor, kalshi_auditor, kalshi_halter;
-- Guard functions run with the owner's rights. Another login could call them on its own tables, so nobody else may.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA journal FROM PUBLIC;
GRANT USAGE ON SCHEMA journal TO kalshi_proposer, kalshi_executor, kalshi_auditor, kalshi_halter;

-- An agent inserts proposals in an agent's name and sees only their numbers. It cannot choose a proposal's number, time
-- or login: a trigger sets them.
GRANT INSERT (source, actor_kind, actor_name, strategy, strategy_version, partition, signal, leg, attempt, ticker, action,
  outcome, price_centicents, count_centicontracts, time_in_force, as_of_us, valid_until_us, expires_us, post_only,
  reduce_only, open_short, reason), SELECT (proposal_id) ON journal.proposals TO kalshi_proposer;
ALTER TABLE journal.proposals ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agents_propose ON journal.proposals;
CREATE POLICY agents_propose ON journal.proposals FOR INSERT TO kalshi_proposer WITH CHECK (actor_kind = 'agent');
DROP POLICY IF EXISTS agents_see_numbers ON journal.proposals;
CREATE POLICY agents_see_numbers ON journal.proposals FOR SELECT TO kalshi_proposer USING (actor_kind = 'agent');
DROP POLICY IF EXISTS others_see_all ON journal.proposals;
CREATE POLICY others_see_all ON journal.proposals FOR SELECT TO kalshi_executor, kalshi_auditor, kalshi_halter
  USING (true);
DROP POLICY IF EXISTS executor_proposes ON journal.proposals;
CREATE POLICY executor_proposes ON journal.proposals FOR INSERT TO kalshi_executor WITH CHECK (true);

-- The executor adds rows. Triggers with the owner's rights write the consequences of a row. Only leases change later.
-- Postgres requires the right to UPDATE for the lock on the head of the audit.
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA journal TO kalshi_executor;
REVOKE INSERT ON journal.journal_version, journal.journal_identity, journal.legal_transitions, journal.denial_reasons,
  journal.audit_kinds, journal.audit_head, journal.scope_markets, journal.open_intents FROM kalshi_executor;
GRANT UPDATE (one) ON journal.audit_head TO kalshi_executor;
GRANT UPDATE, DELETE ON journal.leases TO kalshi_executor;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA journal TO kalshi_executor;

-- An auditor reads.
GRANT SELECT ON ALL TABLES IN SCHEMA journal TO kalshi_auditor;

-- A halter may engage the kill switch and not release it: the Dagster UI beside an executor that runs elsewhere.
GRANT SELECT ON ALL TABLES IN SCHEMA journal TO kalshi_halter;
GRANT INSERT ON journal.audit_log, journal.kill_events TO kalshi_halter;
GRANT UPDATE (one) ON journal.audit_head TO kalshi_halter;
ALTER TABLE journal.kill_events ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS all_see_kills ON journal.kill_events;
CREATE POLICY all_see_kills ON journal.kill_events FOR SELECT TO kalshi_executor, kalshi_auditor, kalshi_halter
  USING (true);
DROP POLICY IF EXISTS executor_kills_and_releases ON journal.kill_events;
CREATE POLICY executor_kills_and_releases ON journal.kill_events FOR INSERT TO kalshi_executor WITH CHECK (true);
DROP POLICY IF EXISTS halter_kills ON journal.kill_events;
CREATE POLICY halter_kills ON journal.kill_events FOR INSERT TO kalshi_halter WITH CHECK (engaged = 1);
