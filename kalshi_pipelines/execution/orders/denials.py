"""Every reason for which an order is not sent, with its cause and what to do: the one list the docs are made from."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an order was denied, for people."""

    cause: str
    remedy: str


class DenialReason(Enum):
    """A reason code; its value explains it. The code stored and shown is ``code``."""

    # --- the proposal itself
    INVALID_PROPOSAL = Explanation(
        "The proposal can not become an order: a term is missing or impossible.", "Correct it and propose anew."
    )
    IDEMPOTENCY_CONFLICT = Explanation(
        "The same signal was proposed before with other terms.",
        "Look at the earlier intent; a different order needs another signal, leg or attempt.",
    )
    ATTEMPT_NOT_DUE = Explanation(
        "The attempt before of the same signal was never made, is not over, or was filled.",
        "Begin with attempt 1; the next is for an order that was denied, refused or canceled without a fill.",
    )
    PROPOSAL_EXPIRED = Explanation("`valid_until` has passed.", "Propose anew on fresh knowledge.")
    PROPOSAL_STALE = Explanation(
        "`as_of` is older, or the time to `valid_until` longer, than allowed.", "Propose on fresh knowledge."
    )
    TICKER_NOT_ALLOWED = Explanation(
        "The market is not on the session's list of series.", "Add its series to KALSHI_TRADE_SERIES, or leave it."
    )
    # --- the gates
    NOT_ARMED = Explanation("No operator has armed this run.", "Arm it: see `docs/trading.md`.")
    ARM_TOKEN_INVALID = Explanation(
        "KALSHI_TRADE_ARM does not fit this environment, key, limits or time.", "Make a new one with the `arm` command."
    )
    KILL_SWITCH_ENGAGED = Explanation(
        "A source of the kill switch is engaged or can not be read.", "See `status`; release it when the cause is gone."
    )
    ENVIRONMENT_MISMATCH = Explanation(
        "Host, key or journal belong to another environment.", "Correct the KALSHI_TRADE_ settings."
    )
    KEY_NOT_FIT = Explanation(
        "The trade key is unknown, has scopes it must not have, or is not locked to the sub-account.",
        "Create a key with exactly `read` and `write::trade`, locked to the sub-account.",
    )
    SESSION_CLOSED = Explanation("The session has ended, expired or lost its lease.", "Open a new one.")
    SESSION_NOT_EXCLUSIVE = Explanation(
        "Another live session holds this sub-account.", "Wait for it to end, or end it with `close-session`."
    )
    SCHEMA_NOT_AT_HEAD = Explanation("The journal's schema is not this code's.", "Run the `migrate` job.")
    CODE_VERSION_CHANGED = Explanation(
        "This process runs other code than the one the session was opened with.", "Open a new session."
    )
    CONTRACTS_NOT_CHECKED = Explanation(
        "No successful contract run of the vendor within 24 hours.", "Run the `contract_checks` job."
    )
    CONTRACTS_BROKEN = Explanation(
        "An endpoint that the order depends on has an open breaking finding.", "See `contracts findings`."
    )
    RECONCILIATION_NOT_CLEAN = Explanation(
        "The last reconciliation is too old or found a difference.", "Run the `reconcile` job and read its report."
    )
    UNRESOLVED_ORDER = Explanation(
        "An order of this market has an unknown outcome.", "Wait for the reconciliation to resolve it."
    )
    APPROVAL_REQUIRED = Explanation(
        "A person must approve exactly this request.", "Look at it, then `approve` it before it expires."
    )
    ORIGIN_NOT_LIVE = Explanation(
        "A retried, re-executed, backfilled, automated or late run never trades live.", "Start a run by hand."
    )
    # --- the market
    EXCHANGE_NOT_TRADING = Explanation(
        "The exchange or the market's shard is not trading, or its status can not be read.", "Wait until it does."
    )
    MARKET_NOT_ACTIVE = Explanation("The market does not accept orders.", "Choose another market.")
    MARKET_NOT_SUPPORTED = Explanation(
        "The kind of market, settlement bounds or fee are not known to this version.", "Update, or leave the market."
    )
    MARKET_DATA_STALE = Explanation("Market or orderbook are older than allowed.", "Run again.")
    BOOK_NOT_TWO_SIDED = Explanation(
        "The orderbook lacks a side or is crossed, so no price can be judged.", "Wait for a two-sided book."
    )
    PRICE_OFF_GRID = Explanation("The price is not on the market's grid.", "Use a price of its `price_ranges`.")
    PRICE_OUTSIDE_BAND = Explanation(
        "The price is too far from the best bid and ask.",
        "Check the side and the price; see KALSHI_TRADE_PRICE_BAND_DOLLARS.",
    )
    TIME_IN_FORCE_NOT_ALLOWED = Explanation(
        "Time in force, expiry, post-only and reduce-only do not go together, or rest too long.",
        "See `docs/trading.md`.",
    )
    FEE_UNKNOWN = Explanation("The fee of the market can not be bounded.", "Leave the market, or update.")
    SELF_CROSS = Explanation("It would trade with an order of our own.", "Cancel that order first.")
    INSUFFICIENT_BALANCE = Explanation(
        "The balance on the market's shard does not cover the worst case.", "Move money to that shard, or order less."
    )
    CLOCK_SKEWED = Explanation(
        "This computer's clock differs from the exchange's by more than 2 seconds.", "Synchronise the clock (NTP)."
    )
    # --- the caps
    CAP_ORDER_COUNT = Explanation("More orders than the cap of a scope.", "See `status` for what is left.")
    CAP_NOTIONAL = Explanation("More notional than the cap of a scope.", "See `status` for what is left.")
    CAP_WORST_LOSS = Explanation(
        "The worst case, fees and resting orders included, would pass the cap of a scope.", "See `status`."
    )
    CAP_POSITION = Explanation("The position could grow beyond its cap.", "See `status` for what is left.")
    CAP_MESSAGE_RATE = Explanation("Too many attempts in a short time; denied ones count.", "Slow down.")
    SCOPE_BREACHED = Explanation(
        "Facts (fills, fees, foreign orders) went beyond a cap; nothing more is admitted.", "Reconcile and review."
    )
    # --- this program
    RATE_BUDGET_SPENT = Explanation("The write budget is kept for cancels.", "Slow down.")
    JOURNAL_UNAVAILABLE = Explanation(
        "The journal can not be read or written (locked, full, damaged).", "Mend it; nothing was sent."
    )
    CHECK_FAILED = Explanation("A check could not be carried out; unknown is no.", "Read the detail and mend it.")
    CRASHED_BEFORE_SENDING = Explanation("The process ended before the order was sent.", "Propose anew.")

    @property
    def code(self) -> str:
        """The stable name of the reason, as stored and shown."""
        return self.name.lower()

    @property
    def cause(self) -> str:
        """What was the matter."""
        return self.value.cause

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.value.remedy


BY_CODE: Final = {reason.code: reason for reason in DenialReason}
