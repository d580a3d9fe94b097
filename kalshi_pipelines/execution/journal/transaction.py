"""The one thing that writes to the journal: sessions and keys here, orders and facts in what it inherits."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.facts import Facts
from kalshi_pipelines.execution.journal.recording import NewRow
from kalshi_pipelines.execution.journal.records import Binding, Mode, NewSession
from kalshi_pipelines.execution.journal.tables import (
    approvals,
    env_bindings,
    leases,
    session_caps,
    session_ends,
    session_groups,
    sessions,
)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds the sub-account for a live session, and until when if it is not renewed."""

    holder: str
    until_us: int


class JournalTransaction(Facts):
    """A transaction that has the journal for itself; committed at the end of its ``with`` block, or not at all."""

    def bind_key(self, binding: Binding, by: str) -> None:
        """Bind a trade key to its one host and sub-account, for ever; again is no change.

        Raises:
            JournalRefused: The key is bound elsewhere, or the host is not of the environment.
        """
        table = env_bindings.c
        known = self._one(
            env_bindings.select().where(
                table.environment == binding.environment,
                table.host == binding.host,
                table.key_fingerprint == binding.key_fingerprint,
                table.subaccount == binding.subaccount,
            )
        )
        if known is None:
            row = {**_binding_values(binding), "bound_us": self.now_us, "bound_by": by}
            self._record("binding", [NewRow(env_bindings, row)], {})

    def open_session(self, new: NewSession, lease: Lease | None = None) -> None:
        """Open a session. A live one needs a lease; one whose lease has run out is ended to make room.

        Raises:
            JournalRefused: Another live session holds the sub-account, a cap is above its ceiling, the key is not
                bound, or the run may not be live.
        """
        if new.mode is Mode.LIVE:
            self._end_lapsed(new.environment, new.subaccount)
        rows = [NewRow(sessions, _session_values(new))]
        self._record("session", rows, {"caps": _told_caps(new)} | ({"why": new.why} if new.why else {}))
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
                    "environment": new.environment,
                    "subaccount": new.subaccount,
                    "session_id": new.session_id,
                    "mode": new.mode.value,
                    "origin": new.origin.value,
                    "holder": lease.holder,
                    "until_us": lease.until_us,
                },
            )

    def renew_lease(self, session_id: str, until_us: int) -> bool:
        """Hold the sub-account longer; False if the session lost it, and then it is lost for good."""
        kept = self._connection.execute(
            sa.update(leases)
            .where(leases.c.session_id == session_id, leases.c.until_us > self.now_us)
            .values(until_us=until_us)
        )
        return kept.rowcount == 1

    def end_session(self, session_id: str, reason: str, facts: Mapping[str, object] | None = None) -> bool:
        """End a session and let go of its sub-account; False if it was ended before."""
        ended = self._one(session_ends.select().where(session_ends.c.session_id == session_id))
        if ended is not None:
            return False
        self.session(session_id)
        row = {"session_id": session_id, "ended_us": self.now_us, "reason": reason}
        self._record("session_end", [NewRow(session_ends, row)], facts or {})
        self._connection.execute(sa.delete(leases).where(leases.c.session_id == session_id))
        return True

    def add_group(
        self, session_id: str, exchange_index: int, order_group_id: str, contracts_limit_centicontracts: int
    ) -> None:
        """Note the order group that was made for a session on a shard.

        Raises:
            JournalRefused: The session has one there already.
        """
        row = {
            "order_group_id": order_group_id,
            "session_id": session_id,
            "exchange_index": exchange_index,
            "contracts_limit_centicontracts": contracts_limit_centicontracts,
            "made_us": self.now_us,
        }
        self._record("group", [NewRow(session_groups, row)], {})

    def approve(self, request_sha256: str, by: str, expires_us: int, facts: Mapping[str, object] | None = None) -> int:
        """Note a person's approval of exactly these bytes of a request."""
        row = {
            "request_sha256": request_sha256,
            "approved_by": by,
            "approved_us": self.now_us,
            "expires_us": expires_us,
        }
        return self._record("approval", [NewRow(approvals, row)], facts or {})

    def _end_lapsed(self, environment: str, subaccount: int) -> None:
        lapsed: str | None = self._connection.scalar(
            sa.select(leases.c.session_id).where(
                leases.c.environment == environment,
                leases.c.subaccount == subaccount,
                leases.c.until_us <= self.now_us,
            )
        )
        if lapsed is not None:
            self.end_session(lapsed, "its lease ran out")


def _binding_values(binding: Binding) -> dict[str, object]:
    return {
        "environment": binding.environment,
        "host": binding.host,
        "key_fingerprint": binding.key_fingerprint,
        "subaccount": binding.subaccount,
    }


def _session_values(new: NewSession) -> dict[str, object]:
    return {
        "session_id": new.session_id,
        "environment": new.environment,
        "subaccount": new.subaccount,
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


def _told_caps(new: NewSession) -> dict[str, object]:
    return {
        kind.value: {
            "orders": caps.orders,
            "notional_microdollars": caps.notional_microdollars,
            "worst_microdollars": caps.worst_microdollars,
        }
        for kind, caps in new.caps.scopes.items()
    }
