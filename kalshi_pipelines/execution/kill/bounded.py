"""Calls with a time limit: a disk or database that hangs must not delay the kill switch."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


class BoundedWait:
    """Runs a call in its own thread and waits a limited time for its result.

    Args:
        what: The name of the disk or database, for the error message.
        seconds: The longest wait for a result.
    """

    def __init__(self, what: str, seconds: float) -> None:
        self._what, self._seconds = what, seconds
        self._asked: Thread | None = None

    def __call__(self, ask: Callable[[], Result]) -> Result:
        """Run the call and return its result.

        A call that takes too long continues in its thread. Until that call ends, every further call fails at once.

        Raises:
            TimeoutError: The call did not end in time, or an earlier call still runs.
            Exception: The call itself failed with this error.
        """
        if self._asked is not None and self._asked.is_alive():
            raise TimeoutError(f"{self._what} still hangs: check its disk or server")
        answered: Future[Result] = Future()

        def run() -> None:
            try:
                answered.set_result(ask())
            except BaseException as error:  # noqa: BLE001  # the waiting thread raises this error
                answered.set_exception(error)

        # A daemon thread does not keep the process alive while the call hangs.
        self._asked = Thread(target=run, name=f"waits for {self._what}", daemon=True)
        try:
            self._asked.start()
        except RuntimeError:
            # The system has no thread left. A call without a time limit is better than none.
            self._asked = None
            run()
        try:
            return answered.result(self._seconds)
        except TimeoutError:
            if answered.done():
                raise
            raise TimeoutError(
                f"{self._what} did not answer within {self._seconds:g} seconds: check its disk or server"
            ) from None
