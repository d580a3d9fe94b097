"""A wait that ends: a disk or a database that hangs, instead of failing, must not hold up what stops trading."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


class BoundedWait:
    """Asks for something in a thread of its own, and waits for it no longer than some time.

    Args:
        what: Who is asked, for the error.
        seconds: How long an answer is waited for.
    """

    def __init__(self, what: str, seconds: float) -> None:
        self._what, self._seconds = what, seconds
        self._asked: Thread | None = None

    def __call__(self, ask: Callable[[], Result]) -> Result:
        """What is answered. What takes longer goes on by itself; until it ends nothing else is asked, nor waited for.

        Raises:
            TimeoutError: There was no answer in time, or is none yet to what was asked before.
            Exception: Whatever asking raises.
        """
        if self._asked is not None and self._asked.is_alive():
            raise TimeoutError(f"{self._what} still hangs: look at its disk or server")
        answered: Future[Result] = Future()

        def run() -> None:
            try:
                answered.set_result(ask())
            except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
                answered.set_exception(error)

        # A daemon: the end of the process does not wait for it.
        self._asked = Thread(target=run, name=f"waits for {self._what}", daemon=True)
        self._asked.start()
        try:
            return answered.result(self._seconds)
        except TimeoutError:
            if answered.done():
                raise
            raise TimeoutError(
                f"{self._what} did not answer within {self._seconds:g} seconds: look at its disk or server"
            ) from None
