-- The rules of the inbox guard, which say when the inbox takes no further proposal. SQLite and Postgres share them.
--
-- The guard runs for each new proposal. In the conditions, NEW is that proposal. The first condition that holds refuses
-- the proposal with the message "inbox_guard:<reason>". Without these rules one proposer could fill the disk.

-- refuse: full
-- The proposer stored too many proposals in a short time. A person may, because a person's order must not wait.
NEW.actor_kind <> 'person'
AND (SELECT count(*) FROM (SELECT 1 FROM proposals p
                           WHERE {same_proposer} AND p.proposal_id <> NEW.proposal_id
                           AND p.proposed_us > NEW.proposed_us - {inbox_short_us}
                           LIMIT {inbox_most_in_short}) recent) >= {inbox_most_in_short}

-- refuse: full_day
-- The proposer stored too many proposals within a day.
(SELECT count(*) FROM (SELECT 1 FROM proposals p
                       WHERE {same_proposer} AND p.proposal_id <> NEW.proposal_id
                       AND p.proposed_us > NEW.proposed_us - {day_us}
                       LIMIT {inbox_most_in_day}) recent) >= {inbox_most_in_day}
