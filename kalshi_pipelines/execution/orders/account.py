"""The account that trades: an environment and a sub-account."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """An account that trades: one sub-account of one environment.

    Orders, caps, leases and reconciliations belong to an account.

    ``environment`` is the value of a ``settings.Environment``, as the journal stores it.
    """

    environment: str
    subaccount: int

    def __str__(self) -> str:
        return f"{self.environment}, sub-account {self.subaccount}"
