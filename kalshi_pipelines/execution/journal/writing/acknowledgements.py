"""Recording signatures under evidence, and acknowledgements of evidence."""

from collections.abc import Sequence

from kalshi_pipelines.execution.journal.records import EvidenceItem, Signature
from kalshi_pipelines.execution.journal.tables import acknowledged_items, acknowledgements, evidence_signatures
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow
from kalshi_pipelines.execution.orders.account import Account


class AcknowledgementWriter:
    """Records who signed and who acknowledged which evidence."""

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit

    def sign(self, account: Account, action: str, evidence_sha256: str, signature: Signature) -> int:
        """Record a person's signature under evidence, and return the signature's number."""
        row = {
            "environment": account.environment,
            "subaccount": account.subaccount,
            "action": action,
            "evidence_sha256": evidence_sha256,
            "signed_by": signature.by,
            "reason": signature.reason,
            "signed_us": self._audit.now_us,
        }
        return self._audit.record("signature", [NewRow(evidence_signatures, row)], NO_FACTS)

    def record(
        self,
        account: Account,
        action: str,
        evidence_sha256: str,
        items: Sequence[EvidenceItem],
        first: Signature,
        second: Signature | None,
        *,
        needs_second: bool,
    ) -> int:
        """Record an acknowledgement with all its evidence, and return its number.

        Raises:
            JournalRefused: A second person is needed and missing, or both signatures have the same name.
        """
        row = {
            "environment": account.environment,
            "subaccount": account.subaccount,
            "action": action,
            "evidence_sha256": evidence_sha256,
            "by_whom": first.by,
            "reason": first.reason,
            "needs_second": int(needs_second),
            "second_by": None if second is None else second.by,
            "second_reason": None if second is None else second.reason,
            "at_us": self._audit.now_us,
        }
        pieces = [
            NewRow(
                acknowledged_items,
                {"number": number, **{name: getattr(item, name) for name in EvidenceItem.__slots__}},
            )
            for number, item in enumerate(items, start=1)
        ]
        return self._audit.record("acknowledge", [NewRow(acknowledgements, row), *pieces], NO_FACTS)
