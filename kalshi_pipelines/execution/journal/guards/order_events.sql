-- The statements by which an order event NEW updates the list of open intents. SQLite and Postgres share them.
--
-- An open intent is an order whose reservation is held. Each order state runs at most one of these statements.

-- name: opened
-- The order has been reserved: add its intent to the list of open intents.
INSERT INTO open_intents (intent_id, environment, subaccount, mode, ticker, state)
SELECT i.intent_id, i.environment, i.subaccount, i.mode, i.ticker, NEW.to_state
FROM intents i WHERE i.intent_id = NEW.intent_id;

-- name: moved
-- The order has moved to another open state: update its row in the list of open intents.
UPDATE open_intents SET state = NEW.to_state WHERE intent_id = NEW.intent_id;

-- name: closed
-- The order has reached a final state: remove its intent from the list of open intents.
DELETE FROM open_intents WHERE intent_id = NEW.intent_id;
