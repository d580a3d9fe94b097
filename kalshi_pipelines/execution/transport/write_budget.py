"""The account's budget of write tokens. Some tokens are always kept for cancels.

Only one live session trades a sub-account, so a token bucket in the session's process is enough. The exchange enforces
its own limit as well.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

#: The refill per second and the capacity in write tokens of the lowest published level. Source: docs.kalshi.com "Rate
#: limits", level "basic", October 2026.
BASIC_REFILL_PER_SECOND: Final = 100
BASIC_CAPACITY: Final = 100
#: Write tokens that are kept for requests that reduce risk. They are enough to trigger an order group, to cancel
#: all orders at once and to send several single cancels.
KEPT_FOR_REDUCTIONS: Final = 40


class WriteBudget:
    """A bucket of write tokens, counted in thousandths of a token."""

    def __init__(
        self,
        refill_per_second: int = BASIC_REFILL_PER_SECOND,
        capacity: int = BASIC_CAPACITY,
        *,
        kept: int = KEPT_FOR_REDUCTIONS,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._refill, self._capacity, self._kept = refill_per_second, capacity * 1_000, kept * 1_000
        self._monotonic_ns = monotonic_ns
        self._milli = self._capacity
        self._at_ns = monotonic_ns()
        self._lock = threading.Lock()

    def spend_on_risk(self, tokens: int) -> bool:
        """Take tokens for a request that adds risk, without waiting.

        Return whether enough tokens were left besides the reserve.
        """
        return self._spend(tokens, self._kept)

    def spend_again_on_risk(self, tokens: int) -> bool:
        """Give back tokens that ``spend_on_risk`` took, and take them at the present instant.

        A request may leave seconds after its tokens were taken, and the exchange counts it when it arrives.

        Return whether enough tokens were left besides the reserve. Otherwise the tokens stay given back.
        """
        with self._lock:
            self._refill_bucket()
            self._milli = min(self._capacity, self._milli + tokens * 1_000)
        return self._spend(tokens, self._kept)

    def spend_on_reduction(self, tokens: int) -> None:
        """Take tokens for a request that reduces risk. Such a request is never held back.

        If the exchange answers 429, the caller tries again.
        """
        if not self._spend(tokens, 0):
            with self._lock:
                self._milli = 0

    def _spend(self, tokens: int, keep: int) -> bool:
        with self._lock:
            self._refill_bucket()
            if self._milli - tokens * 1_000 < keep:
                return False
            self._milli -= tokens * 1_000
            return True

    def _refill_bucket(self) -> None:
        now = self._monotonic_ns()
        self._milli = min(self._capacity, self._milli + (now - self._at_ns) * self._refill // 1_000_000)
        self._at_ns = now
