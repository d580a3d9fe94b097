"""Audit records of older versions of the journal, in the form in which the journal stores their rows today.

A migration may add columns to a table. Audit records from before that migration do not list these columns, so their
rows are completed with the values that the migration stored.
"""

from collections.abc import Mapping
from typing import Any, Final

from kalshi_pipelines.execution.journal.writing.audit_writer import BODY_VERSION

#: The versions of the format in which the bodies of audit records were ever written.
VERSIONS: Final = range(1, BODY_VERSION + 1)


def complete_row(row: Mapping[str, Any], version: object) -> Mapping[str, Any]:
    """Return a row of an audit record with the columns that the journal's tables got after the record was written.

    Args:
        row: The row as the record lists it, with the name of its table.
        version: The version of the record's body.
    """
    if version == 1 and row["table"] == "intents":
        return {**row, "proposed_centicontracts": row["count_centicontracts"], "closing_centicontracts": 0}
    return row
