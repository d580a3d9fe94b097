-- How an audit record NEW moves the head of the audit chain: the same statement for SQLite and Postgres.

-- name: audit_head
INSERT INTO audit_head (one, seq, hash) VALUES (1, NEW.seq, NEW.hash)
ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
