-- How an order event NEW moves the list of open intents: the same statements for SQLite and Postgres.
--
-- An open intent is an order whose reservation is held. Each state of an order has at most one of these statements.

-- name: opened
-- The order has been reserved: add it to the list.
INSERT INTO open_intents (intent_id, environment, subaccount, mode, ticker, state)
SELECT i.intent_id, i.environment, i.subaccount, i.mode, i.ticker, NEW.to_state
FROM intents i WHERE i.intent_id = NEW.intent_id;

-- name: moved
-- The order goes on in another open state.
UPDATE open_intents SET state = NEW.to_state WHERE intent_id = NEW.intent_id;

-- name: closed
-- The order has reached a final state: take it off the list.
DELETE FROM open_intents WHERE intent_id = NEW.intent_id;
