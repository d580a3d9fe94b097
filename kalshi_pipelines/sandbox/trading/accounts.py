"""Members and their money: joining, sub-accounts, deposits and transfers.

Does not belong here: API keys and scopes (``access.memberships``), and the money that orders reserve (``exposure``).
"""

from typing import Final

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.recorder import TRANSFER_NUMBERS, EventRecorder
from kalshi_pipelines.sandbox.trading.records import Transfer

LAST_SUBACCOUNT: Final = 63


class MemberAccounts:
    """Commands that change members, their sub-accounts and their cash."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._state = recorder.state

    def join(self, member: str, *, at_us: int, balance_step: int = 100, keeps_history: bool = True) -> None:
        """Make a person a member of the exchange. Nothing happens if that person is already a member."""
        if member not in self._state.members:
            self._recorder.emit(
                ev.MemberJoined(at_us=at_us, member=member, balance_step=balance_step, keeps_history=keeps_history)
            )

    def open_subaccount(self, member: str, *, at_us: int) -> int:
        """Open the next sub-account of a member and return its number.

        Raises:
            RequestRefused: The member already has 63 sub-accounts.
        """
        number = max(self._state.members[member].subaccounts) + 1
        if number > LAST_SUBACCOUNT:
            raise RequestRefused("subaccount_limit_reached")
        self._recorder.emit(ev.SubaccountOpened(at_us=at_us, member=member, subaccount=number))
        return number

    def deposit(self, member: str, subaccount: int, shard: int, amount: int, *, at_us: int) -> None:
        """Deposit money in a sub-account, or withdraw money if ``amount`` is negative.

        Raises:
            RequestRefused: The sub-account or the shard does not exist, or a withdrawal exceeds the available money.
        """
        self._check_account(member, subaccount, shard)
        if amount < 0 and self._state.available(member, subaccount, shard) < -amount:
            raise RequestRefused("insufficient_balance")
        self._recorder.emit(
            ev.MoneyMoved(at_us=at_us, member=member, subaccount=subaccount, shard=shard, amount=amount)
        )

    def transfer(
        self,
        member: str,
        source: tuple[int, int],
        destination: tuple[int, int],
        amount: int,
        client_transfer_id: str | None,
        *,
        at_us: int,
    ) -> Transfer:
        """Move money of a member from one sub-account and shard to another, in micro-dollars.

        Raises:
            RequestRefused: The transfer id was used before, a sub-account or shard does not exist, a shard is down, or
                the available money is not enough.
        """
        known = self._state.transfers_of[member]
        if client_transfer_id is not None and any(move.client_transfer_id == client_transfer_id for move in known):
            raise RequestRefused("transfer_already_exists")
        for subaccount, shard in (source, destination):
            self._check_account(member, subaccount, shard)
            self._recorder.check_shard(shard, trading=False)
        if amount <= 0 or source == destination:
            raise RequestRefused("bad_request", "amount must be positive and the places different")
        if self._state.available(member, *source) < amount:
            raise RequestRefused("insufficient_balance")
        self._recorder.emit(
            ev.MoneyTransferred(
                at_us=at_us,
                transfer_id=self._recorder.identifier(TRANSFER_NUMBERS),
                client_transfer_id=client_transfer_id,
                member=member,
                from_subaccount=source[0],
                from_shard=source[1],
                to_subaccount=destination[0],
                to_shard=destination[1],
                amount=amount,
            )
        )
        return self._state.transfers_of[member][-1]

    def _check_account(self, member: str, subaccount: int, shard: int) -> None:
        if shard not in self._state.shards:
            raise RequestRefused("bad_request", f"exchange index {shard} does not exist")
        if member not in self._state.members or subaccount not in self._state.members[member].subaccounts:
            raise RequestRefused("subaccount_not_found")
