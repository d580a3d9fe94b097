"""The parser of ``python -m kalshi_pipelines.execution``, the command line of trading without Dagster.

Environment variables that are not set are read from the file ``.env`` in the current folder.

Exit statuses:

- 0: the command succeeded.
- 1: an order was denied, the audit is corrupt, the reconciliation is not clean, orders may still rest, a named order
  is not proved ended, a step of ``setup`` is left, or ``kill`` did not stop everything.
- 2: the command could not be carried out.
- 130: the command was interrupted by Ctrl-C.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.executor.session import SessionRefused
from kalshi_pipelines.execution.orders.proposals import MOST_ATTEMPTS, ActorKind
from kalshi_pipelines.execution.orders.terms import TimeInForce
from kalshi_pipelines.execution.service.command_context import CommandContext
from kalshi_pipelines.execution.service.commands import (
    anchor_commands,
    cancel_command,
    evidence_commands,
    inbox_commands,
    inspection_commands,
    session_commands,
    stop_commands,
)
from kalshi_pipelines.execution.service.setup import setup_commands
from kalshi_pipelines.execution.service.stopping import kill_command
from kalshi_pipelines.settings import InvalidSettings, take_env_file

#: The largest integer that a column of the database can store.
_LARGEST = 2**63 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line of trading, and return its exit status."""
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    if given_arguments[:1] == [kill_command.NAME]:
        return kill_command.main(given_arguments[1:])
    given = _parser().parse_args(given_arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        take_env_file()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with CommandContext.from_environment() as context:
            return int(given.do(context, given))
    except KeyboardInterrupt:
        print("Interrupted. Run `status` to see what was done.", file=sys.stderr)
        return session_commands.INTERRUPTED
    except SessionRefused as error:
        print(f"No session was opened and nothing was sent: {error}", file=sys.stderr)
        return 1
    except (ExpectedError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.execution",
        description="Propose and trade orders, inspect the account, stop trading, verify the audit.",
    )
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    user = kill_command.user_name()
    _add_setup(add)
    _add_propose(add, user)
    _add_sessions(add, user)
    _add_stopping(add, user)
    _add_reconciling(add, user)
    return parser


def _add_setup(add: Callable[..., argparse.ArgumentParser]) -> None:
    setup = add("setup", help="show each step to a live session: what is done, what is missing, and the next command")
    setup.add_argument(
        "--write-env",
        type=Path,
        metavar="FILE",
        help="also add the variables that are set to this .env file (mode 0600); other values in it are never changed",
    )
    setup.add_argument(
        "--sandbox-key",
        type=Path,
        metavar="FILE",
        help="first create a trade key at the running sandbox, and write it to this new file (mode 0600)",
    )
    setup.set_defaults(do=setup_commands.setup)


def _add_propose(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    propose = add("propose", help="put an order into the inbox, without sending it")
    propose.add_argument("action", choices=("buy", "sell"), help="whether you buy or sell contracts")
    propose.add_argument("outcome", choices=("yes", "no"), help="the outcome whose contracts you trade")
    propose.add_argument("ticker", help="the market's ticker, such as KXALBANYCUP-26NOV27-ULM0")
    propose.add_argument("count", help="contracts, such as 10 or 0.50")
    propose.add_argument("price", help="price of one contract of the outcome in dollars, such as 0.5600")
    propose.add_argument(
        "--signal", required=True, help="a name for this order; an order of the same name is never sent twice"
    )
    propose.add_argument(
        "--strategy",
        default="by hand",
        help="name of the strategy, which is part of the order's identity",
    )
    attempts = propose.add_mutually_exclusive_group()
    attempts.add_argument(
        "--again",
        action="store_true",
        help="make the next attempt of this signal, with these terms, after one that ended without a fill",
    )
    attempts.add_argument("--attempt", type=_whole(1, MOST_ATTEMPTS), metavar="N", help="the number of the attempt")
    propose.add_argument(
        "--valid-minutes",
        type=_whole(1, 10),
        default=5,
        metavar="N",
        help="minutes until the proposal expires, at most 10",
    )
    propose.add_argument(
        "--time-in-force",
        default=TimeInForce.IMMEDIATE_OR_CANCEL.value,
        metavar="KIND",
        help=f"{', '.join(TimeInForce)} (default: {TimeInForce.IMMEDIATE_OR_CANCEL.value}); good_till_canceled needs "
        "--rest-minutes",
    )
    propose.add_argument(
        "--rest-minutes",
        type=_whole(1, 15),
        metavar="N",
        help="minutes until a good_till_canceled order ends, at most 15",
    )
    propose.add_argument(
        "--post-only", action="store_true", help="only rest: the exchange refuses the order if it would trade at once"
    )
    propose.add_argument(
        "--reduce-only", action="store_true", help="only close contracts that are held, and never open a position"
    )
    propose.add_argument(
        "--open-short", action="store_true", help="let a sale turn the position: sell more contracts than are held"
    )
    propose.add_argument("--reason", default="", help="a note for people; no check reads it")
    _who(propose, user)
    propose.set_defaults(do=inbox_commands.propose_order)


def _add_sessions(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    imports = add("import", help="put all orders of a .csv or .json file into the inbox, or none")
    imports.add_argument("file", type=Path, help="a file whose name ends in .csv or .json")
    _who(imports, user)
    imports.set_defaults(do=inbox_commands.import_file)

    trade = add("trade", help="open a session and decide about the proposals in the inbox; live if the settings say so")
    _by_and_why(trade, user)
    trade.set_defaults(do=session_commands.trade_inbox)

    approve = add("approve", help="approve the exact request of an order that waits for approval")
    approve.add_argument("intent", type=_whole(1, _LARGEST), help="the number of the order, as shown by `trade`")
    approve.add_argument("sha256", help="the first 12 or more digits of the request's SHA-256, as shown by `trade`")
    approve.add_argument("--by", default=user, help="your name, which must differ from the proposer's")
    approve.set_defaults(do=session_commands.approve)

    arm = add("arm", help="print a token that opens one live session within a limited time")
    arm.add_argument(
        "--minutes", type=_whole(1, 24 * 60), default=60, help="minutes until the token expires, at most a day"
    )
    arm.add_argument("--run", type=Path, metavar="FILE", help="also write the config for one run of the `trade` job")
    _by_and_why(arm, user)
    arm.set_defaults(do=session_commands.arm)


def _add_stopping(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    status = add(
        "status",
        help="show the kill switch, session, open orders, last reconciliation, and how much of each cap is used",
    )
    status.set_defaults(do=inspection_commands.status)

    cancel = add("cancel", help=cancel_command.HELP)
    cancel.add_argument(
        "intents",
        nargs="*",
        type=_whole(1, _LARGEST),
        metavar="INTENT",
        help="the number of an order, as shown by `status`",
    )
    cancel.add_argument("--all", action="store_true", help="cancel every resting order of the sub-account")
    _by_and_why(cancel, user)
    cancel.set_defaults(do=cancel_command.cancel)

    # `main` usually runs this command before it builds this parser, which lists it.
    kill = add(kill_command.NAME, help=kill_command.HELP)
    kill_command.add_arguments(kill)
    kill.set_defaults(do=lambda _, given: kill_command.kill(given))

    drill = add("drill", help="practise a level-2 halt on the sandbox or demo exchange")
    drill.add_argument("--patience", type=float, default=300, metavar="SECONDS", help="how long the halt keeps trying")
    _by_and_why(drill, user)
    drill.set_defaults(do=stop_commands.drill)

    release = add(
        "release", help="permit new sessions; needs another person than the one who halted, and a clean reconciliation"
    )
    _by_and_why(release, user)
    release.set_defaults(do=stop_commands.release)


def _add_reconciling(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    reconcile = add(
        "reconcile", help="compare the account with the journal, and resolve orders whose outcome is unknown"
    )
    reconcile.set_defaults(do=inspection_commands.reconcile)

    again = add("re-anchor", help="anchor the journal again after its anchors were lost; needs a clean reconciliation")
    _by_and_why(again, user)
    again.set_defaults(do=anchor_commands.re_anchor)

    acknowledge = add(
        "acknowledge", help="show what differs from the journal or is unexplained, and take responsibility for it"
    )
    _evidence(acknowledge, user)
    acknowledge.set_defaults(do=evidence_commands.acknowledge)

    adopt = add("adopt", help="let a fresh or restored journal take over the account; needs two persons")
    _evidence(adopt, user)
    adopt.set_defaults(do=evidence_commands.adopt)

    close = add("close-session", help="end the live session of the sub-account")
    _by_and_why(close, user)
    close.set_defaults(do=session_commands.close_session)

    verify = add("verify-audit", help="verify the journal's hash chain, anchors, order states and counters")
    verify.set_defaults(do=inspection_commands.verify_audit)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Return a converter for ``argparse`` that accepts whole numbers between two limits."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from {least:,} to {most:,}")
        return number

    return read


def _who(parser: argparse.ArgumentParser, user: str) -> None:
    kinds = [kind.value for kind in ActorKind]
    parser.add_argument(
        "--as", dest="kind", choices=kinds, default=ActorKind.PERSON.value, help="what kind of proposer you are"
    )
    parser.add_argument("--name", default=user, help="the proposer's name")


def _evidence(parser: argparse.ArgumentParser, user: str) -> None:
    parser.add_argument("--digest", help="the digest that the command showed; without it, nothing is recorded")
    parser.add_argument("--by", default=user, help="your name; a second person must have another name")
    parser.add_argument("--why", default="", help="the reason, recorded for later readers; needed with --digest")


def _by_and_why(parser: argparse.ArgumentParser, user: str) -> None:
    parser.add_argument("--by", default=user, help="your name")
    parser.add_argument("--why", required=True, help="the reason, recorded for later readers")
