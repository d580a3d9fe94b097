-- The statement that makes a new audit record NEW the head of the audit chain. SQLite and Postgres share it.

-- name: audit_head
INSERT INTO audit_head (one, seq, hash) VALUES (1, NEW.seq, NEW.hash)
ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
