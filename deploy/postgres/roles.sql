-- Logins of the journal on Postgres. Run once by the database's owner after `migrate`, and again after an upgrade:
--   psql "$KALSHI_JOURNAL_OWNER_URL" -f deploy/postgres/roles.sql
-- The roles can not log in themselves. Give each program its own login:
--   CREATE ROLE agent LOGIN PASSWORD '...' IN ROLE kalshi_proposer;
--   CREATE ROLE executor LOGIN PASSWORD '...' IN ROLE kalshi_executor;

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['kalshi_proposer', 'kalshi_executor', 'kalshi_auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
    END IF;
  END LOOP;
END
$$;

REVOKE ALL ON SCHEMA journal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA journal FROM PUBLIC, kalshi_proposer, kalshi_executor, kalshi_auditor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA journal FROM PUBLIC, kalshi_proposer, kalshi_executor, kalshi_auditor;
GRANT USAGE ON SCHEMA journal TO kalshi_proposer, kalshi_executor, kalshi_auditor;

-- An agent: inserts proposals in an agent's name, and sees nothing but their numbers.
GRANT INSERT, SELECT (proposal_id) ON journal.proposals TO kalshi_proposer;
GRANT USAGE ON SEQUENCE journal.proposals_proposal_id_seq TO kalshi_proposer;
ALTER TABLE journal.proposals ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS agents_propose ON journal.proposals;
CREATE POLICY agents_propose ON journal.proposals FOR INSERT TO kalshi_proposer WITH CHECK (actor_kind = 'agent');
DROP POLICY IF EXISTS agents_see_numbers ON journal.proposals;
CREATE POLICY agents_see_numbers ON journal.proposals FOR SELECT TO kalshi_proposer USING (actor_kind = 'agent');
DROP POLICY IF EXISTS others_see_all ON journal.proposals;
CREATE POLICY others_see_all ON journal.proposals FOR SELECT TO kalshi_executor, kalshi_auditor USING (true);
DROP POLICY IF EXISTS executor_proposes ON journal.proposals;
CREATE POLICY executor_proposes ON journal.proposals FOR INSERT TO kalshi_executor WITH CHECK (true);

-- The executor: adds rows. What follows from a row is written by triggers with the owner's rights, and nothing is
-- changed later but leases; Postgres wants the right to UPDATE for the lock on the head of the audit.
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA journal TO kalshi_executor;
REVOKE INSERT ON journal.journal_version, journal.journal_identity, journal.legal_transitions, journal.denial_reasons,
  journal.audit_kinds, journal.audit_head, journal.scope_markets, journal.open_intents FROM kalshi_executor;
GRANT UPDATE (one) ON journal.audit_head TO kalshi_executor;
GRANT UPDATE, DELETE ON journal.leases TO kalshi_executor;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA journal TO kalshi_executor;

-- An auditor: reads.
GRANT SELECT ON ALL TABLES IN SCHEMA journal TO kalshi_auditor;
