"""The last look before an order leaves: a check between connecting and the first byte of the request.

Connecting can take seconds: name resolution, TCP and TLS. A kill that is given in the meantime must still stop the
order. The look learns from httpcore's ``trace`` extension that the connection is ready (python-httpx.org,
"Extensions"). If httpcore did not call it, the order's body would refuse to be read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

_BEFORE_THE_FIRST_BYTE: Final = "http11.send_request_headers.started"
#: The type of functions that return why a request must not leave now, or None if it may leave.
LastLook = Callable[[], str | None]
Trace = Callable[[str, Mapping[str, Any]], None]


class SendingStopped(Exception):
    """The last look forbade the request. No byte of the request was sent."""


class LookNotTaken(Exception):
    """The body of a request was about to be sent without a last look."""


class LookBeforeSending:
    """Takes the last look of one request, right before the request's first byte.

    Pass the object as the request's ``trace`` extension. ``then`` receives every event first.
    """

    def __init__(self, look: LastLook, then: Trace) -> None:
        self._look, self._then = look, then
        self._was_permitted = False

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Pass the event on. If the request's first byte is next, take the look.

        Raises:
            SendingStopped: The look forbids the request.
        """
        self._then(event, info)
        if event == _BEFORE_THE_FIRST_BYTE:
            forbidden = self._look()
            if forbidden is not None:
                raise SendingStopped(forbidden)
            self._was_permitted = True

    def require_permission(self) -> None:
        """Check that the look has permitted the request.

        Raises:
            LookNotTaken: The look was not taken.
        """
        if not self._was_permitted:
            raise LookNotTaken("the order's body was about to be sent without a last look")
