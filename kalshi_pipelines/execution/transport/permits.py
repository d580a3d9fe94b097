"""The permission to send one order once: made of the committed record that it is about to be sent."""

import hashlib
import threading

from kalshi_pipelines.execution.journal.records import Sent


class PermitRefused(Exception):
    """A permit that was used before, or does not fit what is to be sent. Nothing was sent."""


class SendPermit:
    """Lets exactly one order be sent exactly once, by the process that committed its record.

    It can not be copied, pickled or made again from the database: after a crash nobody has it.
    """

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self._lock = threading.Lock()
        self._used = False

    def consume(self, *, host: str, key_fingerprint: str, body: bytes) -> None:
        """Use the permit up for a request.

        Raises:
            PermitRefused: It was used, or host, key or body are not those that were recorded.
        """
        with self._lock:
            if self._used:
                raise PermitRefused(f"the permit of intent {self.sent.intent_id} was used already")
            self._used = True
        if (host, key_fingerprint) != (self.sent.host, self.sent.key_fingerprint):
            raise PermitRefused(f"intent {self.sent.intent_id} was recorded for another host or key")
        if body != self.sent.request_json.encode() or _sha256(body) != self.sent.request_sha256:
            raise PermitRefused(f"intent {self.sent.intent_id} was recorded with another request")

    def __reduce__(self) -> str:
        raise TypeError("a permit stays in its process")

    def __copy__(self) -> "SendPermit":
        raise TypeError("a permit is used once")

    def __deepcopy__(self, memo: object) -> "SendPermit":
        raise TypeError("a permit is used once")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
