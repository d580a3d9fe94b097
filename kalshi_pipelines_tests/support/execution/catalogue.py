"""What can go wrong when money is traded, what stops it and which tests prove it: docs/trading_threats.md.

A test belongs to threats by its name: ``test_F07_...``, ``test_F17_F18_...``. They are found in the text of the test
files, so that none has to be listed anywhere.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2]
_NAME: Final = re.compile(r"test((?:_F\d\d)+)_\w+")


@dataclass(frozen=True)
class Threat:
    """A failure and what is done against it."""

    failure: str
    control: str


@dataclass(frozen=True)
class FoundTest:
    """A test and the file it is in, relative to the folder of tests."""

    name: str
    file: str


#: By number. Codes in backticks are those of docs/denials.md.
THREATS: Final[Mapping[int, Threat]] = {
    1: Threat("The process dies after an order was planned", "nothing was sent; recovery denies it"),
    2: Threat("The process dies after money was reserved", "recovery abandons the order and releases the reservation"),
    3: Threat(
        "The process dies after SENDING was committed, before a byte left",
        "unknown until fence, watermark and a complete sweep prove it absent; the reservation is held meanwhile",
    ),
    4: Threat("The process dies after the exchange took the order", "the same recovery finds it and takes its state"),
    5: Threat("The answer can not be stored", "as 4: what the exchange says is read again, never sent again"),
    6: Threat(
        "The request times out and the exchange took it",
        "one POST for each SENDING row, ever; unknown blocks the market and keeps its reservation",
    ),
    7: Threat(
        "A request arrives late, after the order was not found",
        "its order group is triggered before the sweep, and never used again",
    ),
    8: Threat("The HTTP library sends twice by itself", "no retries, no redirects, no proxies, HTTP/1.1 only"),
    9: Threat("A success whose body can not be understood", "unknown; the raw bytes are in the audit"),
    10: Threat("409 for our own client order id", "unknown and looked up, never taken for a rejection"),
    11: Threat("A status is read as the wrong outcome", "a total table: whatever is not listed is unknown"),
    12: Threat("Two executors have the same signal", "the idempotency key is unique in the database"),
    13: Threat("Two executors share one cap", "counters with CHECKs, in the transaction that admits the order"),
    14: Threat("Two live sessions for one sub-account", "a unique key and a lease: `session_not_exclusive`"),
    15: Threat(
        "A retry of the strategy or of Dagster makes a new id",
        "ids follow from the signal; other terms for the same signal are an `idempotency_conflict`",
    ),
    16: Threat(
        "A backfill, retry, re-execution or automation trades",
        "only a run armed by hand acts; the database keeps any other from being live: `origin_not_live`",
    ),
    17: Threat("A decision or a book is stale", "both carry their instant and are judged again right before sending"),
    18: Threat("The clock is wrong or jumps", "compared with the exchange's: `clock_skewed`; durations are monotonic"),
    19: Threat(
        "Midnight frees the day's budget while orders rest",
        "what is open is carried into the new day first; a rolling 24 hours' cap beside the day's",
    ),
    20: Threat("The journal is locked", "denied after a bounded wait: `journal_unavailable`"),
    21: Threat("The disk is full or read-only", "no commit, so no POST; cancels and the kill switch still work"),
    22: Threat("The journal was restored from an old backup", "anchors outside are ahead of it: it can not be armed"),
    23: Threat("A connection switched constraints off", "guards refuse its writes; verification recomputes everything"),
    24: Threat("The audit can not be written", "the same transaction as the order: no audit, no order"),
    25: Threat("The audit is edited or cut", "a hash chain and anchors outside the database; `verify_audit`"),
    26: Threat(
        "A typo in the settings",
        "unknown names are refused; whole numbers within ceilings of the code, which settings can only lower",
    ),
    27: Threat(
        "The label says demo, host or key are of production",
        "host, key and sub-account are bound in the database, probed, and compared with the bytes to be sent",
    ),
    28: Threat("YES and NO are confused", "one vocabulary, one mapping, and the exchange's echo is compared"),
    29: Threat("Cents and dollars are confused", "prices are made from text with a decimal point only"),
    30: Threat("A price off the grid, a fraction of a contract", "checked on the market's own grid"),
    31: Threat(
        "A fat finger", "a band around a fresh, two-sided book for buys and sells; caps of each order's size and money"
    ),
    32: Threat("A market that pays out otherwise", "bounds that are not the usual ones are not traded"),
    33: Threat("We trade with ourselves", "compared with our own open orders; the exchange prevents it, too"),
    34: Threat("A close turns the position around", "both outcomes are counted; reduce-only never rests"),
    35: Threat("An amendment raises the risk", "amend can not be reached; replace is cancel, prove, propose anew"),
    36: Threat("A decrease is repeated", "`reduce_to` only: the second time does nothing"),
    37: Threat("Half of a batch fails", "batches can not be reached"),
    38: Threat("An endpoint that moves money or makes keys is called", "a list of six allowed methods and paths"),
    39: Threat(
        "An agent was told by a text it read to trade",
        "it has no trade key, may only insert proposals, a person approves the exact bytes, and no text is executed",
    ),
    40: Threat("Caps are changed during a session", "sessions are written once; the arm token holds the caps' hash"),
    41: Threat("The kill switch is engaged during a run", "read in the transaction that commits SENDING"),
    42: Threat("The kill switch keeps orders from being canceled", "cancels take another way and need no permission"),
    43: Threat("A source of the kill switch can not be read", "unreadable is engaged"),
    44: Threat("Late or unknown orders survive the kill switch", "groups are triggered, and flat is proved by a sweep"),
    45: Threat("The exchange pauses and refuses cancels", "orders are canceled on pause; halting goes on until flat"),
    46: Threat("A cancel goes to the wrong shard", "every cancel names its market"),
    47: Threat("An empty order id cancels everything", "an id is a type that is never empty"),
    48: Threat("A partial fill, then a cancel or no answer", "fills are posted by their id; only the rest is released"),
    49: Threat("Fills come twice or out of order", "each is posted once; a fact is never refused"),
    50: Threat("A fee is above its bound", "stored, the scope is breached and the kill switch engages"),
    51: Threat("Rounding adds up", "whole micro-dollars; the database checks the arithmetic"),
    52: Threat("Orders use up the rate budget of cancels", "a part of it is kept for them: `rate_budget_spent`"),
    53: Threat("Somebody else's order on our sub-account", "counted in the ledger, and the kill switch engages"),
    54: Threat("The exchange's positions are not ours", "compared exactly at every reconciliation; the switch engages"),
    55: Threat("A market settles while an order rests", "the settlement is posted and the order ends"),
    56: Threat("Old code runs beside new", "the session's version is compared in the database: `code_version_changed`"),
    57: Threat("A secret gets into logs or the audit", "fingerprints only; everything that is stored is searched"),
    58: Threat("An order group's limit is taken for a cap", "caps are the ledger's; the group is a fence"),
    59: Threat("A runaway sends many small orders", "orders and attempts are capped; denied attempts count"),
    60: Threat("Markets of one event move together", "a cap of the event, without credit between its markets"),
}


def threat_tests() -> dict[int, list[FoundTest]]:
    """The tests of each threat, found by their names."""
    found: dict[int, list[FoundTest]] = {number: [] for number in THREATS}
    for file in sorted(TESTS.rglob("test_*.py")):
        for name in _functions(file):
            match = _NAME.fullmatch(name)
            for number in re.findall(r"\d\d", match[1]) if match else ():
                found.setdefault(int(number), []).append(FoundTest(name, file.relative_to(TESTS).as_posix()))
    return found


def _functions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
