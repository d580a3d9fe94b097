"""Order groups: orders that share a limit on the contracts traded within 15 rolling seconds.

Belongs here: creating, triggering, resetting and deleting groups. A trade that reaches or exceeds the limit still
happens, and then triggers the group. Source: the vendor's page on order groups and its OpenAPI document 3.34.0.
"""

from collections.abc import Iterable
from typing import Final

from kalshi_pipelines.sandbox.trading import events as ev
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.recorder import GROUP_NUMBERS, EventRecorder
from kalshi_pipelines.sandbox.trading.records import OrderGroup
from kalshi_pipelines.sandbox.trading.state import GROUP_WINDOW_US

MOST_GROUPS: Final = 100_000


class GroupControl:
    """Commands that create, trigger, reset and delete order groups, and change their limits."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._state = recorder.state

    def create(self, member: str, subaccount: int, shard: int, limit: int, *, at_us: int) -> OrderGroup:
        """Create an order group with a limit in centi-contracts.

        Raises:
            RequestRefused: The sub-account or the shard does not exist, or the member already has 100,000 groups.
        """
        if shard not in self._state.shards:
            raise RequestRefused("bad_request", f"exchange index {shard} does not exist")
        if subaccount not in self._state.members[member].subaccounts:
            raise RequestRefused("subaccount_not_found")
        self._recorder.check_shard(shard, trading=False)
        if len(self._state.groups_of[member]) >= MOST_GROUPS:
            raise RequestRefused("order_group_limit_reached")
        group_id = self._recorder.identifier(GROUP_NUMBERS)
        self._recorder.emit(
            ev.GroupCreated(
                at_us=at_us, group_id=group_id, member=member, subaccount=subaccount, shard=shard, limit=limit
            )
        )
        return self._state.groups[group_id]

    def trigger(
        self, member: str, subaccount: int | None, group_id: str, shard: int | None = None, *, at_us: int
    ) -> None:
        """Trigger an order group: cancel its orders and refuse new ones until a reset.

        Raises ``RequestRefused`` for an unknown group.
        """
        self._trigger(self._working_group(member, subaccount, group_id, shard), at_us)

    def reset(
        self, member: str, subaccount: int | None, group_id: str, shard: int | None = None, *, at_us: int
    ) -> None:
        """Reset an order group, so that it counts trades from zero and accepts orders.

        Raises ``RequestRefused`` for an unknown group.
        """
        group = self._working_group(member, subaccount, group_id, shard)
        self._recorder.emit(ev.GroupReset(at_us=at_us, group_id=group.group_id))

    def set_limit(
        self, member: str, subaccount: int | None, group_id: str, limit: int, shard: int | None = None, *, at_us: int
    ) -> None:
        """Change the limit of an order group, which may trigger the group at once.

        Raises ``RequestRefused`` for an unknown group.
        """
        group = self._working_group(member, subaccount, group_id, shard)
        self._recorder.emit(ev.GroupLimitChanged(at_us=at_us, group_id=group.group_id, limit=limit))
        if not group.triggered and group.matched_since(at_us - GROUP_WINDOW_US) >= limit:
            self._trigger(group, at_us)

    def delete(
        self, member: str, subaccount: int | None, group_id: str, shard: int | None = None, *, at_us: int
    ) -> None:
        """Cancel the orders of an order group and delete the group.

        Raises ``RequestRefused`` for an unknown group.
        """
        group = self._working_group(member, subaccount, group_id, shard)
        self._cancel_orders(group, at_us)
        self._recorder.emit(ev.GroupDeleted(at_us=at_us, group_id=group.group_id))

    def check(self, group_id: str, member: str, subaccount: int, shard: int) -> None:
        """Refuse an order if its group is triggered, or unknown for the order's member, sub-account and shard."""
        group = self._state.groups.get(group_id)
        if group is None or (group.member, group.subaccount, group.shard) != (member, subaccount, shard):
            raise RequestRefused("order_group_not_found")
        if group.triggered:
            raise RequestRefused("order_group_triggered")

    def trigger_full(self, group_ids: Iterable[str | None], at_us: int) -> None:
        """Trigger each order group in ``group_ids`` whose trades have reached the group's limit.

        The groups are triggered in the sequence of ``group_ids``.
        """
        for group_id in dict.fromkeys(group_ids):
            group = None if group_id is None else self._state.groups.get(group_id)
            if group is not None and not group.triggered and group.matched_count >= group.limit:
                self._trigger(group, at_us)

    def _trigger(self, group: OrderGroup, at_us: int) -> None:
        self._recorder.emit(ev.GroupTriggered(at_us=at_us, group_id=group.group_id))
        self._cancel_orders(group, at_us)

    def _cancel_orders(self, group: OrderGroup, at_us: int) -> None:
        orders = [self._state.orders[order_id] for order_id in group.orders if order_id in self._state.orders]
        for order in orders:
            # Also cancel the group's order that is being matched. It does not rest in the book yet.
            if order.is_open:
                self._recorder.emit(
                    ev.OrderCanceled(at_us=at_us, order_id=order.order_id, count=order.remaining, reason="group")
                )

    def _working_group(self, member: str, subaccount: int | None, group_id: str, shard: int | None) -> OrderGroup:
        group = self._state.groups.get(group_id)
        if (
            group is None
            or group.member != member
            or subaccount not in {None, group.subaccount}
            or shard not in {None, group.shard}
        ):
            raise RequestRefused("not_found")
        self._recorder.check_shard(group.shard, trading=False)
        return group
