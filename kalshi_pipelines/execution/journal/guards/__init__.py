"""Guards: triggers for rules that keys and CHECK constraints cannot express, the same for SQLite and Postgres.

- A stored row is never changed or deleted.
- A posting updates the counters of its scope, and an order event updates the list of open intents.
- An order is admitted and sent only if no rule of the journal forbids it.
- The audit log is a chain of hashes.

The rules are in the ``.sql`` files of this folder. Every upgrade of the journal removes all guards, then creates
the guards that these files define.
"""

from kalshi_pipelines.execution.journal.guards.installation import (
    installed_guards,
    lower_guards,
    missing_guards,
    raise_guards,
)
from kalshi_pipelines.execution.journal.guards.names import (
    ACCOUNT_KEY,
    HASH_DOMAIN,
    HASH_FUNCTION,
    HOURS_AHEAD,
    PREFIX,
    SCHEMA,
    WRITER_FUNCTION,
)
from kalshi_pipelines.execution.journal.guards.statements import NEVER_CHANGED, guard_statements

__all__ = [
    "ACCOUNT_KEY",
    "HASH_DOMAIN",
    "HASH_FUNCTION",
    "HOURS_AHEAD",
    "NEVER_CHANGED",
    "PREFIX",
    "SCHEMA",
    "WRITER_FUNCTION",
    "guard_statements",
    "installed_guards",
    "lower_guards",
    "missing_guards",
    "raise_guards",
]
