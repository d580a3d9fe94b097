"""Names and values that the guards share with the Python code of the journal."""

from typing import Final

#: The beginning of the name of every guard.
PREFIX: Final = "guard_"
#: The schema of the journal in a Postgres database.
SCHEMA: Final = "journal"
#: The text with which the input of every audit record's hash begins.
HASH_DOMAIN: Final = "kalshi-pipelines/audit/1"
#: The hash function that connections of this code bring to SQLite, which has none of its own.
HASH_FUNCTION: Final = "journal_audit_hash"
#: A function that only connections of this code have. Another program, such as the sqlite3 shell, cannot add a row.
WRITER_FUNCTION: Final = "journal_writer"
#: The one key of a scope that covers a whole account.
ACCOUNT_KEY: Final = "account"
#: Hours ahead of a posting that its rolling day includes: a clock that went back has already counted there.
HOURS_AHEAD: Final = 1
