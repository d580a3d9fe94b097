"""Members of the exchange and their API keys: joining, starting money, and scopes.

Belongs here: accounts that an operator sets up, and scopes. Does not belong here: verifying a signature
(``signatures``), and moving money by API (``account_endpoints``). Source of the scopes: the vendor's OpenAPI document
3.34.0.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.access.signatures import public_key_of, public_pem
from kalshi_pipelines.sandbox.trading.accounts import LAST_SUBACCOUNT
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.events import KeyRegistered

DEFAULT_MEMBER: Final = "default-member"
FULL_SCOPES: Final = ("read", "write")
SCOPES: Final = (
    "read", "write", "read::block_trade_accept", "read::portfolio_balance", "write::trade", "write::transfer",
    "write::fcm_risk", "write::block_trade_accept",
)  # fmt: skip


class UnusableScopes(ExpectedError, ValueError):
    """The requested scopes of an API key are unknown, incomplete or empty."""


def allows(scopes: Collection[str], needed: str) -> bool:
    """Return whether a key's scopes include the needed scope or its parent.

    The parent of ``write::trade`` is ``write``.
    """
    return needed in scopes or needed.partition("::")[0] in scopes


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Check the requested scopes of an API key and return them without repetition.

    Raises:
        UnusableScopes: The list is empty, a scope is unknown, or ``write`` comes without ``read``.
    """
    unique = tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in unique if scope not in SCOPES]
    if unknown or not unique:
        raise UnusableScopes(
            f"{', '.join(map(repr, unknown)) or 'nothing'} is no scope; scopes are {', '.join(SCOPES)}",
            "Request only scopes from this list.",
        )
    if "write" in unique and "read" not in unique:
        raise UnusableScopes("write must come with read; write::trade may come alone", "Add the scope read.")
    return unique


@dataclass(frozen=True)
class KeyRequest:
    """An API key to be registered: the PEM of its public part, its member, and its scopes."""

    key_id: str
    pem: str
    member: str = DEFAULT_MEMBER
    name: str = ""
    scopes: tuple[str, ...] = FULL_SCOPES
    subaccount: int | None = None


def enroll(engine: MatchingEngine, member: str, start_amount: int, *, at_us: int) -> bool:
    """Make a person a member of the exchange with ``start_amount`` micro-dollars on each shard.

    Return False and change nothing if that person is already a member.
    """
    if member in engine.state.members:
        return False
    engine.accounts.join(member, at_us=at_us)
    if start_amount:
        deposit_everywhere(engine, member, 0, start_amount, at_us=at_us)
    return True


def deposit_everywhere(engine: MatchingEngine, member: str, subaccount: int, amount: int, *, at_us: int) -> None:
    """Deposit ``amount`` micro-dollars for a member on each shard."""
    for shard in engine.state.shards:
        engine.accounts.deposit(member, subaccount, shard, amount, at_us=at_us)


def check_subaccount(number: int) -> int:
    """Check that a sub-account can have this number, and return the number.

    Raises:
        RequestRefused: No sub-account can have this number.
    """
    if not 0 <= number <= LAST_SUBACCOUNT:
        raise RequestRefused("subaccount_not_found", f"sub-accounts are numbered from 0 to {LAST_SUBACCOUNT}")
    return number


def open_subaccounts(engine: MatchingEngine, member: str, last: int, *, at_us: int) -> None:
    """Open sub-accounts of a member until the sub-account ``last`` exists.

    Raises:
        RequestRefused: A member cannot have that many sub-accounts.
    """
    while check_subaccount(last) not in engine.state.members[member].subaccounts:
        engine.accounts.open_subaccount(member, at_us=at_us)


def register_key(engine: MatchingEngine, request: KeyRequest, *, at_us: int) -> None:
    """Register an API key of a member. The new key replaces a different key with the same id.

    Raises:
        UnusablePublicKey: The PEM holds no usable key.
        UnusableScopes: The requested scopes are unknown, incomplete or empty.
        RequestRefused: No sub-account can have the given number.
    """
    pem = public_pem(public_key_of(request.pem.encode()))
    scopes = check_scopes(request.scopes)
    if request.subaccount is not None:
        open_subaccounts(engine, request.member, request.subaccount, at_us=at_us)
    known = engine.state.keys.get(request.key_id)
    asked = (request.member, request.name, pem, scopes, request.subaccount)
    if known is not None and asked == (known.member, known.name, known.public_key, known.scopes, known.subaccount):
        return
    engine.recorder.emit(
        KeyRegistered(
            at_us=at_us,
            key_id=request.key_id,
            member=request.member,
            name=request.name,
            public_key=pem,
            scopes=scopes,
            subaccount=request.subaccount,
        )
    )


def keep_keys(engine: MatchingEngine, pems: Mapping[str, str], start_amount: int, *, at_us: int) -> None:
    """Register API keys of the default member with full scopes.

    Do nothing for a key that is already registered. A new key replaces a different key with the same id.
    """
    for key_id, pem in pems.items():
        known = engine.state.keys.get(key_id)
        if known is None or known.public_key != pem:
            enroll(engine, DEFAULT_MEMBER, start_amount, at_us=at_us)
            register_key(engine, KeyRequest(key_id, pem), at_us=at_us)
