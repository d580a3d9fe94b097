"""The permit to send one order once. It is made from the committed record that the order is about to be sent."""

import hashlib
import threading

from kalshi_pipelines.execution.journal.records import Sent
from kalshi_pipelines.execution.transport.last_look import LastLook


class PermitRefused(Exception):
    """A permit was used before, or it is for another request. Nothing was sent."""


class SendPermit:
    """A permit to send an order once, for the process that recorded the sending of this order.

    A permit cannot be copied, pickled or created again from the database. After a crash, no process has the permit any
    more.

    Args:
        sent: The committed record that the order is about to be sent.
        last_look: Returns why the order must not leave now, or None. The transport calls it after it has connected and
            before it sends the first byte.
    """

    def __init__(self, sent: Sent, last_look: LastLook) -> None:
        self.sent = sent
        self.last_look = last_look
        self._lock = threading.Lock()
        self._used = False

    def consume(self, *, host: str, key_fingerprint: str, body: bytes) -> None:
        """Use up the permit for one request, and check that the request is the recorded one.

        Raises:
            PermitRefused: The permit was used already, or host, key or body differ from the record.
        """
        with self._lock:
            if self._used:
                raise PermitRefused(f"the permit of intent {self.sent.intent_id} was already used")
            self._used = True
        if (host, key_fingerprint) != (self.sent.host, self.sent.key_fingerprint):
            raise PermitRefused(f"intent {self.sent.intent_id} was recorded for another host or key")
        if body != self.sent.request_json.encode() or _sha256(body) != self.sent.request_sha256:
            raise PermitRefused(f"intent {self.sent.intent_id} was recorded with another request")

    def __reduce__(self) -> str:
        raise TypeError("a permit cannot leave its process")

    def __copy__(self) -> "SendPermit":
        raise TypeError("a permit cannot be copied")

    def __deepcopy__(self, memo: object) -> "SendPermit":
        raise TypeError("a permit cannot be copied")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
