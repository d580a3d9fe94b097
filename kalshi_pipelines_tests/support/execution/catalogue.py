"""The catalogue of threats to trading: what can go wrong and what stops it, the source of docs/trading_threats.md.

The name of a test says which threats the test proves harmless: ``test_F07_...``, ``test_F17_F18_...``. The names are
read from the test files, so no list of tests has to be kept.
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
    """A threat to trading: what can fail, and the control that stops the failure or limits its damage."""

    failure: str
    control: str


@dataclass(frozen=True)
class FoundTest:
    """The name of a test and its file, relative to the folder of tests."""

    name: str
    file: str


#: Threats by number. Codes in backticks are the denial codes of docs/denials.md.
THREATS: Final[Mapping[int, Threat]] = {
    1: Threat("The process dies after an order was planned", "Nothing was sent. Recovery denies the order."),
    2: Threat("The process dies after money was reserved", "Recovery abandons the order and releases the reservation."),
    3: Threat(
        "The process dies after SENDING was committed, before a byte left",
        "It is unknown until a fence, a watermark and a complete sweep prove it absent. Its reservation is held.",
    ),
    4: Threat(
        "The process dies after the exchange took the order",
        "The same recovery finds the order and takes over its state.",
    ),
    5: Threat(
        "The answer of the exchange cannot be stored",
        "As F04: the order is read from the exchange again and never sent again.",
    ),
    6: Threat(
        "The request times out, but the exchange took the order",
        "Each SENDING row has one POST, ever. An unknown order blocks its market and keeps its reservation.",
    ),
    7: Threat(
        "A request arrives late, after its order was not found",
        "The order's group is triggered before the sweep and never used again.",
    ),
    8: Threat(
        "The HTTP library sends a request twice by itself",
        "The client makes no retries, follows no redirects, uses no proxies and speaks HTTP/1.1 only.",
    ),
    9: Threat(
        "A success has a body that cannot be understood", "The order is unknown, and the raw bytes are in the audit."
    ),
    10: Threat(
        "The exchange answers 409 for our own client order id",
        "The order is unknown and is looked up. A 409 is never taken for a rejection.",
    ),
    11: Threat(
        "A status is read as the wrong outcome",
        "One table covers all statuses. A status that is not listed is unknown.",
    ),
    12: Threat("Two executors have the same signal", "The idempotency key is unique in the database."),
    13: Threat("Two executors share one cap", "Counters with CHECKs change in the transaction that admits the order."),
    14: Threat(
        "Two live sessions run for one sub-account", "A unique key and a lease allow one: `session_not_exclusive`."
    ),
    15: Threat(
        "A retry of the strategy or of Dagster makes a new id",
        "Ids follow from the signal. The same signal with other terms is an `idempotency_conflict`.",
    ),
    16: Threat(
        "A backfill, retry, re-execution or automation trades",
        "Only a run that a person armed may act. The database lets no other run be live: `origin_not_live`.",
    ),
    17: Threat(
        "A decision or an order book is stale",
        "Both carry the instant they were made and are checked again right before sending.",
    ),
    18: Threat(
        "The clock is wrong or jumps",
        "The clock is compared with the exchange's: `clock_skewed`. Durations come from a monotonic clock.",
    ),
    19: Threat(
        "Midnight frees the day's budget while orders rest",
        "Open amounts are carried into the new day first. A cap on rolling 24 hours applies beside the day's cap.",
    ),
    20: Threat("The journal is locked", "The order is denied after a bounded wait: `journal_unavailable`."),
    21: Threat(
        "The disk is full or read-only", "Without a commit there is no POST. Cancels and the kill switch still work."
    ),
    22: Threat(
        "The journal was restored from an old backup",
        "Anchors outside the database are ahead of the journal: `journal_restored`. Two persons can `adopt` it.",
    ),
    23: Threat(
        "A connection switched constraints off", "Guards refuse its writes. The verification recomputes everything."
    ),
    24: Threat(
        "The audit cannot be written",
        "The audit is written in the transaction of the order: without audit there is no order.",
    ),
    25: Threat(
        "The audit is edited or cut",
        "The audit is a hash chain with anchors outside the database; `verify_audit` checks both.",
    ),
    26: Threat(
        "A setting has a typing error",
        "Unknown names are refused. Caps are whole numbers, and settings can only lower the code's ceilings.",
    ),
    27: Threat(
        "The label says demo, but host or key belong to production",
        "Host, key and sub-account are bound in the database, probed, and compared with the bytes to be sent.",
    ),
    28: Threat(
        "YES and NO are confused", "There is one vocabulary and one mapping, and the exchange's echo is compared."
    ),
    29: Threat("Cents and dollars are confused", "Prices are built only from text with a decimal point."),
    30: Threat(
        "A price is off the grid, or a count is a fraction of a contract",
        "Both are checked against the market's own grid.",
    ),
    31: Threat(
        "A person mistypes a price or a count (fat finger)",
        "Prices must be within a band around a fresh, two-sided book. Caps limit each order's size and money.",
    ),
    32: Threat("A market pays out in an unusual way", "A market with unusual payout bounds is not traded."),
    33: Threat(
        "We trade with ourselves",
        "A new order is compared with our own open orders. The exchange prevents self-trades too.",
    ),
    34: Threat(
        "A closing order turns the position around",
        "A sale beyond the position needs `open_short`. Both outcomes count, and a reduce-only order never rests.",
    ),
    35: Threat(
        "An amendment raises the risk",
        "The amend endpoint cannot be reached. To replace an order, cancel it, prove it gone and propose a new order.",
    ),
    36: Threat("A decrease is repeated", "Only `reduce_to` is used: a second request changes nothing."),
    37: Threat("Half of a batch fails", "The batch endpoints cannot be reached."),
    38: Threat(
        "An endpoint that moves money or makes keys is called", "The transport allows six methods and paths only."
    ),
    39: Threat(
        "A text that an agent read makes the agent trade",
        "The agent has no trade key and can only propose. A person approves the exact bytes; no text is executed.",
    ),
    40: Threat(
        "Caps are changed during a session", "A session is written once, and the arm token holds the hash of the caps."
    ),
    41: Threat(
        "The kill switch is engaged during a run",
        "The switch is read in the transaction that commits SENDING, and again after connecting, "
        "right before the first byte.",
    ),
    42: Threat(
        "The kill switch keeps orders from being canceled", "Cancels take a path of their own and need no permission."
    ),
    43: Threat("A source of the kill switch cannot be read", "An unreadable source counts as engaged."),
    44: Threat(
        "Late or unknown orders survive the kill switch",
        "Order groups are triggered, and a sweep proves that no order is left.",
    ),
    45: Threat(
        "The exchange pauses and refuses cancels",
        "Orders are canceled on pause, and a halt goes on until no order is left.",
    ),
    46: Threat("A cancel goes to the wrong shard", "Every cancel names its market."),
    47: Threat("An empty order id cancels everything", "The type of an order id cannot be empty."),
    48: Threat(
        "A partial fill is followed by a cancel or by no answer",
        "Fills are posted by their id. Only the unfilled rest is released.",
    ),
    49: Threat("Fills come twice or out of order", "Each fill is posted once, and a fact is never refused."),
    50: Threat("A fee is above its bound", "The fee is stored, the scope is breached and the kill switch engages."),
    51: Threat("Rounding errors add up", "Amounts are whole micro-dollars, and the database checks the arithmetic."),
    52: Threat(
        "Orders use up the rate budget of cancels", "A part of the budget is kept for cancels: `rate_budget_spent`."
    ),
    53: Threat(
        "A foreign order appears on our sub-account", "The order is counted in the ledger, and the kill switch engages."
    ),
    54: Threat(
        "The exchange's positions differ from ours",
        "Every reconciliation compares them exactly. A difference engages the kill switch.",
    ),
    55: Threat("A market settles while an order rests", "The settlement is posted and the order ends."),
    56: Threat(
        "Old code runs beside new code", "The database compares the session's code version: `code_version_changed`."
    ),
    57: Threat(
        "A secret gets into logs or the audit",
        "Only fingerprints are written, and tests search everything that is stored.",
    ),
    58: Threat(
        "The limit of an order group is taken for a cap", "Caps come from the ledger alone; the group is only a fence."
    ),
    59: Threat(
        "A runaway program sends many small orders", "Orders and attempts are capped, and denied attempts count."
    ),
    60: Threat(
        "Markets of one event move together", "The event has a cap of its own, without credit between its markets."
    ),
    61: Threat(
        "`kill` runs in a wrong folder or without variables, and sessions go on",
        "A registry leads `kill` to every session of the user. Its last line and exit status say what was proved.",
    ),
    62: Threat(
        "An order arrives although `kill` was given before its connection was made",
        "The last look comes after connecting. `kill` waits for orders sent before it, or reports them as under way.",
    ),
    63: Threat(
        "`kill` fails because of something that it does not need",
        "It reads the settings of stopping only, and falls back to the exchange's cancel-all with the trade key.",
    ),
    64: Threat(
        "One arming opens several sessions, each with fresh caps",
        "The transaction that opens a session uses its token and its run up: `arming_used`.",
    ),
    65: Threat(
        "A proxy's error page is taken for a refusal",
        "Only a documented JSON error body proves a refusal. After any other error the order is unknown.",
    ),
    66: Threat(
        "Anchors are missing, older, unreadable or not kept",
        "No live session opens until a person re-anchors: `anchors_not_trusted`. A failed anchor ends the session.",
    ),
    67: Threat(
        "One journal is reached by two paths",
        "A live session locks the file for its path: `journal_has_two_paths`.",
    ),
    68: Threat(
        "A second journal trades the same sub-account, or traded it today",
        "The exchange's orders and order groups are read first: `another_journal_trades`, or they count in the caps.",
    ),
    69: Threat(
        "A flood of an agent's proposals hides a person's",
        "Persons and closing orders come first, proposers take turns, and some attempts are kept for them.",
    ),
    70: Threat(
        "A proposer chooses a proposal's number, time or login, or fills the disk",
        "The journal sets or refuses them, and limits what one proposer can store.",
    ),
    71: Threat(
        "One signal in two spellings becomes two orders, or takes another proposer's name",
        "Texts have one normal form at every entrance. The proposer is part of the idempotency key.",
    ),
    72: Threat(
        "A position cannot be left: caps or money are used up, or an order stands in the way",
        "An order that only closes adds no risk except its fees, and no cap refuses it. `cancel` ends single orders.",
    ),
    73: Threat(
        "An order that opens a position passes as one that closes",
        "The closing part is counted from the live position and all open orders; guards count it again.",
    ),
    74: Threat(
        "Realised losses lock an account, or are forgotten",
        "A day's net result leaves 24 hours after the day has ended, gains like losses, settlements included.",
    ),
    75: Threat(
        "A person amends, cancels or trades on the web page",
        "Less risk is only noted. Anything else stops trading until a person acknowledges the evidence.",
    ),
    76: Threat(
        "An incident has no way back to trading", "A table names the commands for each incident, and a test types them."
    ),
    77: Threat(
        "A person signs for evidence that has changed, or for two",
        "The digest of the evidence is part of the signature. If caps would grow, a second name has to sign.",
    ),
    78: Threat(
        "A `.env` file overrules the shell that says dry run",
        "The process environment beats the file, for `dagster`, too. If it is not known, no live session opens.",
    ),
    79: Threat(
        "A setting is given twice, or in a form that readers understand differently",
        "Two spellings, repeated lines, white space at the ends and odd numbers are refused.",
    ),
    80: Threat(
        "Another user reads or replaces the trade key's file",
        "Live trading refuses such a file; stopping still uses it.",
    ),
    81: Threat(
        "A dry run uses up what a live session needs",
        "Its attempts, orders and caps are counted apart, and it never reads with the trade key.",
    ),
}


def threat_tests() -> dict[int, list[FoundTest]]:
    """Return the tests of each threat, found by their names."""
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
