"""The command that takes a person to the first live session: a checklist that may be run again and again.

It asks for no input, and it neither shows nor stores a secret. Without its options it changes nothing.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.configuration import PREFIX
from kalshi_pipelines.execution.service.account.live_account import has_trade_key
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.setup.env_file import add_to_env_file
from kalshi_pipelines.execution.service.setup.setup_steps import SetupStep, SetupSteps, Standing
from kalshi_pipelines.execution.text import format_count
from kalshi_pipelines.kalshi.records import Market
from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import now_us

#: Variables besides those of trading that a .env file gets. An address of a database is not among them, because it may
#: hold a password.
_OF_THE_ENVIRONMENT: Final = ("KALSHI_ENVIRONMENT", "KALSHI_SANDBOX_URL", "KALSHI_DATA_DIR", "KALSHI_JOURNAL_ANCHORS")
#: Variables of trading that are never written to a file: a token that expires, the kill switch, and the consent to
#: trade real money, which a person gives in each shell.
_NEVER_WRITTEN: Final = frozenset({f"{PREFIX}{name}" for name in ("ARM", "KILL", "KILL_FILE", "PRODUCTION")})
_DEPOSIT: Final = "500"
_LOWEST_BID: Final = Decimal("0.1500")
_HIGHEST_ASK: Final = Decimal("0.8500")


def setup(context: CommandContext, given: argparse.Namespace) -> int:
    """Print each step to a live session. Return 0 if a session could open now, and 1 if a step is left."""
    print(context.whereabouts())
    if given.sandbox_key is not None:
        _create_sandbox_key(context, given.sandbox_key)
    if given.write_env is not None:
        _write_env(context, given.write_env)
    steps = SetupSteps(context, now_us())
    checked = list(steps.all())
    print(*_lines(checked), sep="\n")
    left = [step for step in checked if step.is_open]
    if left:
        print(f"\nNot ready: {format_count(len(left), 'step')} left. Do the first one, then run `setup` again.")
        return 1
    print(f"\nReady: a live session can open. Next, propose an order and run `trade`:\n{_example(steps)}")
    return 0


def _lines(steps: Sequence[SetupStep]) -> Iterable[str]:
    for number, step in enumerate(steps, start=1):
        yield f"{step.standing.value:<8} {number:>2}  {step.title}: {step.found}"
        if step.standing is not Standing.DONE:
            yield from (f"             $ {command}" for command in step.commands)


def _create_sandbox_key(context: CommandContext, file: Path) -> None:
    """Create a trade key at the running sandbox, and set the variables that name the key for this process.

    Raises:
        CommandRefused: The environment is not the sandbox, no sandbox runs, or a trade key is set already.
        KeyNotCreated: The sandbox does not answer, or the file exists already.
    """
    # Only this option needs the sandbox's code. Every other command of the program works without it.
    from kalshi_pipelines.sandbox import create_key  # noqa: PLC0415

    url = context.settings.sandbox_url
    if context.settings.environment is not Environment.SANDBOX:
        raise CommandRefused(
            "Only the sandbox lets this program create a key. No key was created.",
            "Create the key on the exchange's API keys page.",
        )
    if url is None:
        raise CommandRefused(
            "KALSHI_SANDBOX_URL is not set. No key was created.",
            "Start `python -m kalshi_pipelines.sandbox`, and set the variable to the address that it prints.",
        )
    trade = context.trade
    if trade.api_key_id is not None:
        raise CommandRefused(
            "KALSHI_TRADE_API_KEY_ID names a trade key already. No key was created.",
            "Run `setup` without --sandbox-key, or unset the variable.",
        )
    key_id = create_key.create_trade_key(url, file, subaccount=trade.subaccount, deposit=_DEPOSIT)
    made = {
        f"{PREFIX}API_KEY_ID": key_id,
        f"{PREFIX}PRIVATE_KEY_FILE": str(file.absolute()),
        f"{PREFIX}URL": str(trade.url or url),
    }
    os.environ.update(made)
    context.read_trade_settings_again()
    print(f"The key {key_id} was created at the sandbox with {_DEPOSIT} dollars on each shard.")
    print(*(f"export {name}={value}" for name, value in made.items()), sep="\n")


def _write_env(context: CommandContext, file: Path) -> None:
    """Add the variables that are set to a .env file.

    The settings of the trade key are checked first, because a mistyped value may be the private key itself.
    """
    if has_trade_key(context.trade):
        context.live_transport()
    elif context.trade.api_key_id is not None:
        raise CommandRefused(
            "KALSHI_TRADE_URL is not set, so the trade key cannot be checked. Nothing was written.",
            "Set the address, then run the command again.",
        )
    names = (*_OF_THE_ENVIRONMENT, *sorted(name for name in os.environ if name.startswith(PREFIX)))
    values = {name: os.environ[name] for name in names if name in os.environ and name not in _NEVER_WRITTEN}
    for name in ("KALSHI_DATA_DIR", "KALSHI_JOURNAL_ANCHORS", f"{PREFIX}PRIVATE_KEY_FILE"):
        if name in values:
            values[name] = str(Path(values[name]).expanduser().absolute())
    added = add_to_env_file(file, values)
    print(f"{file.absolute()} has {format_count(len(values), 'variable')}; {len(added)} were added.")


def _example(steps: SetupSteps) -> str:
    """Return a command that proposes an order. Only for the sandbox it names a market."""
    program, rest = "python -m kalshi_pipelines.execution propose buy yes", '--signal "my first order"'
    market = _tradable(steps) if steps.context.settings.environment is Environment.SANDBOX else None
    if market is None:
        return f"  $ {program} TICKER 1 PRICE {rest}"
    return f"  $ {program} {market.ticker} 1 {market.yes_ask_dollars} {rest}"


def _tradable(steps: SetupSteps) -> Market | None:
    """Return an open market of the sandbox with a bid and an ask, neither near the ends of the price range, or None."""
    account = steps.account
    if isinstance(account, ExpectedError):
        return None
    allowed = steps.trade.allowed_series
    for series in sorted(allowed) if allowed else (None,):
        for page in account.client.market_pages(status="open", series_ticker=series):
            for raw in page.raw_records:
                market = msgspec.json.decode(raw, type=Market)
                if _LOWEST_BID < Decimal(market.yes_bid_dollars) < Decimal(market.yes_ask_dollars) < _HIGHEST_ASK:
                    return market
    return None
