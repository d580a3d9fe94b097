"""Names and values that the guards share with the Python code of the journal."""

from typing import Final

from kalshi_pipelines.units import MINUTE_US

#: The prefix of every guard's name.
PREFIX: Final = "guard_"
#: The name of the Postgres schema that holds the journal's tables.
SCHEMA: Final = "journal"
#: The fixed prefix of the text that is hashed for every audit record.
HASH_DOMAIN: Final = "kalshi-pipelines/audit/1"
#: The name of the SHA-256 function that this code adds to its SQLite connections, because SQLite has none.
HASH_FUNCTION: Final = "journal_audit_hash"
#: The name of a function that only SQLite connections of this code have. The guards call it when a row is inserted, so
#: another program, such as the sqlite3 shell, cannot add rows.
WRITER_FUNCTION: Final = "journal_writer"
#: The fixed key of an account scope in live mode. No other key is needed, because an account has one such scope only.
ACCOUNT_KEY: Final = "account"
#: The rolling day also includes this number of hours after the present hour. After the clock was set back, postings
#: that were made earlier may lie in an hour that seems to be in the future.
HOURS_AHEAD: Final = 1
#: The role of Postgres logins that may only propose, in an agent's name. ``deploy/postgres/roles.sql`` creates it.
PROPOSER_ROLE: Final = "kalshi_proposer"
#: The largest number of proposals that one proposer may store in ``INBOX_SHORT_US``, the longest time for which a
#: proposal is valid. A person is bound by the number of a day only.
INBOX_MOST_IN_SHORT: Final = 1_000
INBOX_SHORT_US: Final = 10 * MINUTE_US
#: The largest number of proposals that one proposer may store within 24 hours.
INBOX_MOST_IN_DAY: Final = 10_000
#: The largest difference between a proposal's time and this computer's clock, on SQLite. On Postgres the server sets
#: the time.
INBOX_CLOCK_US: Final = 5 * MINUTE_US
