"""Commands about sessions: binding keys, opening and ending sessions, renewing leases, and recording order groups."""

from collections.abc import Mapping

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.rows import first_row
from kalshi_pipelines.execution.journal.reading.sessions import SessionReading
from kalshi_pipelines.execution.journal.records import Binding, Lease, Mode, NewSession
from kalshi_pipelines.execution.journal.tables import (
    env_bindings,
    leases,
    session_caps,
    session_ends,
    session_groups,
    sessions,
    used_armings,
)
from kalshi_pipelines.execution.journal.writing.audit_writer import NO_FACTS, AuditWriter, NewRow
from kalshi_pipelines.execution.orders.account import Account


class SessionWriter:
    """Opens and ends sessions, renews their leases, and records their order groups."""

    def __init__(self, connection: sa.Connection, audit: AuditWriter, reading: SessionReading) -> None:
        self._connection, self._audit, self._reading = connection, audit, reading

    def bind_key(self, binding: Binding, by: str) -> None:
        """Bind a trade key to its host and sub-account for ever.

        Binding the key again to the same host and sub-account changes nothing.

        Raises:
            JournalRefused: The key is bound to another host or sub-account, or the host is not one of the environment's
                hosts.
        """
        table = env_bindings.c
        known = first_row(
            self._connection,
            env_bindings.select().where(
                table.environment == binding.account.environment,
                table.host == binding.host,
                table.key_fingerprint == binding.key_fingerprint,
                table.subaccount == binding.account.subaccount,
            ),
        )
        if known is None:
            row = {**_binding_values(binding), "bound_us": self._audit.now_us, "bound_by": by}
            self._audit.record("binding", [NewRow(env_bindings, row)], {})

    def open(self, new: NewSession, lease: Lease | None = None) -> None:
        """Open a session.

        A live session needs a lease. If another session of the sub-account has an expired lease, that session is ended
        first.

        Raises:
            JournalRefused: Another live session holds the sub-account, or an arming has opened a session before. A cap
                above its ceiling, a key that is not bound and a run that may not be live are refused, too.
        """
        if new.mode is Mode.LIVE:
            self._end_expired(new.account)
        rows = [NewRow(sessions, _session_values(new)), *_used_armings(new)]
        self._audit.record("session", rows, {"caps": _caps_as_facts(new)} | ({"why": new.why} if new.why else {}))
        for kind, caps in new.caps.scopes.items():
            self._connection.execute(
                session_caps.insert(),
                {
                    "session_id": new.session_id,
                    "kind": kind.value,
                    "orders_cap": caps.orders,
                    "notional_cap_microdollars": caps.notional_microdollars,
                    "worst_cap_microdollars": caps.worst_microdollars,
                },
            )
        if lease is not None:
            self._connection.execute(
                leases.insert(),
                {
                    "environment": new.account.environment,
                    "subaccount": new.account.subaccount,
                    "session_id": new.session_id,
                    "mode": new.mode.value,
                    "origin": new.origin.value,
                    "holder": lease.holder,
                    "until_us": lease.until_us,
                },
            )

    def renew_lease(self, session_id: str, until_us: int) -> bool:
        """Renew the lease of a session. Return False if the lease has expired; an expired lease cannot be renewed."""
        kept = self._connection.execute(
            sa.update(leases)
            .where(leases.c.session_id == session_id, leases.c.until_us > self._audit.now_us)
            .values(until_us=until_us)
        )
        return kept.rowcount == 1

    def end(self, session_id: str, reason: str, facts: Mapping[str, object] = NO_FACTS) -> bool:
        """End a session and release its sub-account. Return False if the session was ended before."""
        ended = first_row(self._connection, session_ends.select().where(session_ends.c.session_id == session_id))
        if ended is not None:
            return False
        self._reading.get(session_id)
        row = {"session_id": session_id, "ended_us": self._audit.now_us, "reason": reason}
        self._audit.record("session_end", [NewRow(session_ends, row)], facts)
        self._connection.execute(sa.delete(leases).where(leases.c.session_id == session_id))
        return True

    def add_group(
        self, session_id: str, exchange_index: int, order_group_id: str, contracts_limit_centicontracts: int
    ) -> None:
        """Record the order group that was created for a session on a shard.

        Raises:
            JournalRefused: The session already has an order group on the shard.
        """
        row = {
            "order_group_id": order_group_id,
            "session_id": session_id,
            "exchange_index": exchange_index,
            "contracts_limit_centicontracts": contracts_limit_centicontracts,
            "made_us": self._audit.now_us,
        }
        self._audit.record("group", [NewRow(session_groups, row)], {})

    def _end_expired(self, account: Account) -> None:
        expired: str | None = self._connection.scalar(
            sa.select(leases.c.session_id).where(
                leases.c.environment == account.environment,
                leases.c.subaccount == account.subaccount,
                leases.c.until_us <= self._audit.now_us,
            )
        )
        if expired is not None:
            self.end(expired, "its lease ran out")


def _binding_values(binding: Binding) -> dict[str, object]:
    return {
        "environment": binding.account.environment,
        "host": binding.host,
        "key_fingerprint": binding.key_fingerprint,
        "subaccount": binding.account.subaccount,
    }


def _session_values(new: NewSession) -> dict[str, object]:
    return {
        "session_id": new.session_id,
        "environment": new.account.environment,
        "subaccount": new.account.subaccount,
        "mode": new.mode.value,
        "origin": new.origin.value,
        "host": new.binding.host if new.binding else None,
        "key_fingerprint": new.binding.key_fingerprint if new.binding else None,
        "armed_by": new.armed_by,
        "opened_by": new.opened_by,
        "opened_us": new.opened_us,
        "expires_us": new.expires_us,
        "code_version": new.code_version,
        "config_sha256": new.config_sha256,
        "caps_sha256": new.caps_sha256,
        "order_notional_cap_microdollars": new.caps.order_notional_microdollars,
        "order_worst_cap_microdollars": new.caps.order_worst_microdollars,
        "position_cap_centicontracts": new.caps.position_centicontracts,
        "attempts_per_minute_cap": new.caps.attempts_per_minute,
    }


def _used_armings(new: NewSession) -> list[NewRow]:
    return [
        NewRow(
            used_armings,
            {"arming_sha256": arming.sha256, "kind": arming.kind.value, "session_id": new.session_id},
        )
        for arming in new.armings
    ]


def _caps_as_facts(new: NewSession) -> dict[str, object]:
    return {
        kind.value: {
            "orders": caps.orders,
            "notional_microdollars": caps.notional_microdollars,
            "worst_microdollars": caps.worst_microdollars,
        }
        for kind, caps in new.caps.scopes.items()
    }
