"""Every reason to deny an order, with its cause and its remedy.

``docs/denials.md`` is generated from the list in this module.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


@dataclass(frozen=True, slots=True)
class Explanation:
    """The cause of a denial and the next step for a person, both as text."""

    cause: str
    remedy: str


class DenialReason(Enum):
    """The reasons to deny an order. Each value holds the explanation for people; ``code`` is stored and shown."""

    # --- reasons to deny an order because of its proposal
    INVALID_PROPOSAL = Explanation(
        "A term of the proposal is missing or impossible.", "Correct the proposal and propose it again."
    )
    IDEMPOTENCY_CONFLICT = Explanation(
        "The same signal was proposed before with other terms.",
        "If the earlier order ended without a fill, correct it with `propose --again`. A different order needs another "
        "signal or leg.",
    )
    ATTEMPT_NOT_DUE = Explanation(
        "The previous attempt of the same signal does not exist, has not ended, or was filled.",
        "Begin with attempt 1. After an order that was denied, refused or canceled without a fill, use "
        "`propose --again`.",
    )
    PROPOSAL_EXPIRED = Explanation("`valid_until` has passed.", "Propose the order again, based on current data.")
    PROPOSAL_STALE = Explanation(
        "`as_of` is in the future, or `valid_until` is not within 10 minutes after it.",
        "Propose the order again, with the time of the data and at most 10 minutes of validity.",
    )
    TICKER_NOT_ALLOWED = Explanation(
        "The market's series is not in KALSHI_TRADE_SERIES.", "Add the series, or choose another market."
    )
    # --- reasons to deny an order because of the session's permission to trade or its settings
    NOT_ARMED = Explanation(
        "This process is not armed.", "Run `arm` in the shell that starts the session: see `docs/trading.md`."
    )
    ARM_TOKEN_INVALID = Explanation(
        "KALSHI_TRADE_ARM has expired or is for another environment, key or limits.",
        "Create a new token with the `arm` command.",
    )
    ARMING_USED = Explanation(
        "The arm token or the armed run has already opened a live session.",
        "Arm again with the `arm` command, and start a new run.",
    )
    KILL_SWITCH_ENGAGED = Explanation(
        "A source of the kill switch is engaged or cannot be read.",
        "Run `status` to see the source, and release the switch when the cause is gone.",
    )
    ENVIRONMENT_MISMATCH = Explanation(
        "Host, key or journal belong to another environment.", "Correct the settings that begin with KALSHI_TRADE_."
    )
    KEY_NOT_FIT = Explanation(
        "The trade key is unknown, has other scopes than it needs, or is not locked to the sub-account.",
        "Create a key with exactly the scopes `read` and `write::trade`, locked to the sub-account.",
    )
    SESSION_CLOSED = Explanation("The session has ended, has expired or has lost its lease.", "Open a new session.")
    SESSION_NOT_EXCLUSIVE = Explanation(
        "Another live session holds this sub-account.",
        "Wait until that session ends, or end it with `close-session`.",
    )
    SCHEMA_NOT_AT_HEAD = Explanation(
        "The journal's schema does not belong to this version of the code.", "Run the `migrate` job."
    )
    CODE_VERSION_CHANGED = Explanation(
        "The session was opened with another version of the code.", "Open a new session."
    )
    CONTRACTS_NOT_CHECKED = Explanation(
        "The vendor's API was not checked successfully in the last 24 hours.", "Run the `contract_checks` job."
    )
    CONTRACTS_BROKEN = Explanation(
        "An endpoint that the order depends on has an open breaking finding.",
        "Run `python -m kalshi_pipelines.contracts findings` to see the finding.",
    )
    RECONCILIATION_NOT_CLEAN = Explanation(
        "The last reconciliation is too old or found a difference.", "Run the `reconcile` job and read its report."
    )
    UNRESOLVED_ORDER = Explanation(
        "An order in this market has an unknown outcome.", "Wait until a reconciliation resolves that order."
    )
    APPROVAL_REQUIRED = Explanation(
        "A person must approve exactly this request.", "Review the order, then run `approve` before it expires."
    )
    ORIGIN_NOT_LIVE = Explanation(
        "A retried, re-executed, backfilled, automated or late run never trades live.", "Start a run manually."
    )
    # --- reasons to deny an order because of the state of the market or of the exchange
    EXCHANGE_NOT_TRADING = Explanation(
        "The exchange or the market's shard is not trading, or its status cannot be read.",
        "Wait until the exchange trades again.",
    )
    MARKET_NOT_ACTIVE = Explanation(
        "The market does not accept orders now, or closes before the order expires.", "Choose another market."
    )
    MARKET_NOT_SUPPORTED = Explanation(
        "This version does not support the market's type or its settlement bounds.",
        "Update kalshi_pipelines, or choose another market.",
    )
    MARKET_DATA_STALE = Explanation(
        "The market or its orderbook was read longer ago than allowed.", "Run the session again."
    )
    BOOK_NOT_TWO_SIDED = Explanation(
        "The orderbook lacks a side or is crossed, so no price can be judged.", "Wait for a two-sided book."
    )
    PRICE_OFF_GRID = Explanation(
        "The price is not on the market's price grid.", "Use a price from the market's `price_ranges`."
    )
    PRICE_OUTSIDE_BAND = Explanation(
        "The price is too far from the best bid and ask.",
        "Check the side and the price; KALSHI_TRADE_PRICE_BAND_DOLLARS sets the limit.",
    )
    TIME_IN_FORCE_NOT_ALLOWED = Explanation(
        "Time in force, expiry, post-only and reduce-only contradict each other, or the order would rest too long.",
        "Correct these terms: see `docs/trading.md`.",
    )
    WOULD_OPEN_SHORT = Explanation(
        "The sale is for more contracts than are held and free to sell, so it would turn the position around.",
        "Sell fewer contracts, `cancel` a resting sale, or allow it with `--open-short` (`open_short` in a file).",
    )
    NOTHING_TO_REDUCE = Explanation(
        "The order is reduce-only, but the account holds nothing that it could close.",
        "Run `status` to see positions and open orders, and `cancel` an order that already closes the position. "
        "Propose without reduce-only to open a position.",
    )
    FEE_UNKNOWN = Explanation(
        "This version knows no bound for the market's fee.", "Update kalshi_pipelines, or choose another market."
    )
    SELF_CROSS = Explanation(
        "The order would trade with an order of our own.",
        "Cancel that order first: `status` shows its number, and `cancel NUMBER` cancels it.",
    )
    INSUFFICIENT_BALANCE = Explanation(
        "The balance on the market's shard does not cover the worst case.",
        "Move money to that shard, or order fewer contracts.",
    )
    CLOCK_SKEWED = Explanation(
        "This computer's clock differs from the exchange's by more than 2 seconds.", "Synchronise the clock (NTP)."
    )
    # --- reasons to deny an order because of the session's caps
    CAP_ORDER_COUNT = Explanation(
        "The order would exceed the cap on the number of orders.", "Run `status` to see how much of each cap is used."
    )
    CAP_NOTIONAL = Explanation(
        "The order would exceed the cap on notional.", "Run `status` to see how much of each cap is used."
    )
    CAP_WORST_LOSS = Explanation(
        "The worst case, with fees and resting orders, would exceed a cap.",
        "Run `status` to see how much of each cap is used.",
    )
    CAP_POSITION = Explanation(
        "The position could exceed its cap.", "Run `status` to see how much of each cap is used."
    )
    CAP_MESSAGE_RATE = Explanation(
        "More orders were decided in one minute than KALSHI_TRADE_ATTEMPTS_PER_MINUTE. Denied orders count, too.",
        "Wait a minute, then propose fewer orders at a time.",
    )
    SCOPE_BREACHED = Explanation(
        "Recorded fills, fees or foreign orders exceed a cap, so no order is admitted.",
        "Run `reconcile`, find the reason, then clear the cap with `acknowledge`.",
    )
    # --- reasons to deny an order because of the state of this program
    RATE_BUDGET_SPENT = Explanation(
        "The remaining write requests are reserved for cancels.", "Wait a second, and send fewer orders at a time."
    )
    JOURNAL_UNAVAILABLE = Explanation(
        "The journal cannot be read or written: it is locked, full or damaged.",
        "Repair the journal's disk or database. Nothing was sent.",
    )
    ANCHORS_NOT_TRUSTED = Explanation(
        "The anchors of the journal are missing, or their file cannot be read or does not keep what is written.",
        "Mount the disk of the anchor file, or correct KALSHI_JOURNAL_ANCHORS. If the anchors are lost, a person runs "
        "`re-anchor`.",
    )
    JOURNAL_RESTORED = Explanation(
        "The anchors belong to records that this journal does not have: it was restored, rewritten or replaced.",
        "Trade with the journal that has the records. If that journal is lost, a person runs `adopt`.",
    )
    JOURNAL_HAS_TWO_PATHS = Explanation(
        "The file of the journal can be reached by two paths, so each path could hide the other's commits.",
        "Use one path for every process, and remove the other hard link or mount.",
    )
    ANOTHER_JOURNAL_TRADES = Explanation(
        "The exchange has live orders or order groups of this sub-account that this journal did not make.",
        "Trade with the journal that made them. If that journal is lost, a person runs `adopt`.",
    )
    CHECK_FAILED = Explanation(
        "A check could not be carried out.", "Read the detail, remove the cause and propose the order again."
    )
    CRASHED_BEFORE_SENDING = Explanation("The process ended before the order was sent.", "Propose the order again.")

    @property
    def code(self) -> str:
        """The stable name of the denial reason, as it is stored and shown."""
        return self.name.lower()

    @property
    def cause(self) -> str:
        """The cause of the denial, as text for people."""
        return self.value.cause

    @property
    def remedy(self) -> str:
        """The next step for a person after the denial, as text."""
        return self.value.remedy


BY_CODE: Final = {reason.code: reason for reason in DenialReason}
