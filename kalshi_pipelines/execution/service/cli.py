"""``python -m kalshi_pipelines.execution``: propose, trade, look, halt and verify, without Dagster.

Variables that are not set are taken from a file ``.env`` in the current folder.

Ends with 0 if it was done, with 1 if the answer is no (an order was denied, the audit is corrupt, a reconciliation not
clean, the account not flat), with 2 if something could not be done, and with 130 after Ctrl-C.
"""

import argparse
import getpass
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.executor.session import SessionRefused
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.service import inbox_commands, inspection_commands, session_commands, stop_commands
from kalshi_pipelines.execution.service.command_context import CommandContext
from kalshi_pipelines.settings import InvalidSettings, take_env_file

#: The largest number a database stores.
_LARGEST = 2**63 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        take_env_file()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        if given.do is not stop_commands.kill:
            return 2
    try:
        with CommandContext.from_environment() as context:
            return int(given.do(context, given))
    except KeyboardInterrupt:
        print("Interrupted. See `status` for what was done.", file=sys.stderr)
        return session_commands.INTERRUPTED
    except SessionRefused as error:
        print(f"no session was opened, nothing was sent: {error}", file=sys.stderr)
        return 1
    except (ExpectedError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.execution", description="Orders: propose, trade, look, halt, verify."
    )
    add = parser.add_subparsers(required=True, metavar="COMMAND").add_parser
    user = getpass.getuser()
    _add_trading(add, user)
    _add_watching(add, user)
    return parser


def _add_trading(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    propose = add("propose", help="put an order into the inbox; nothing is sent by it")
    propose.add_argument("action", choices=("buy", "sell"))
    propose.add_argument("outcome", choices=("yes", "no"))
    propose.add_argument("ticker")
    propose.add_argument("count", help="contracts, such as 10 or 0.50")
    propose.add_argument("price", help="dollars of a contract of the outcome, such as 0.5600")
    propose.add_argument("--signal", required=True, help="a name for this order: the same name is never ordered twice")
    propose.add_argument("--strategy", default="by hand")
    propose.add_argument("--valid-minutes", type=_whole(1, 10), default=5, metavar="N", help="at most 10")
    propose.add_argument("--time-in-force", default="immediate_or_cancel")
    propose.add_argument(
        "--rest-minutes", type=_whole(1, 15), metavar="N", help="for good_till_canceled: when it ends; at most 15"
    )
    propose.add_argument("--post-only", action="store_true")
    propose.add_argument("--reduce-only", action="store_true")
    propose.add_argument("--reason", default="", help="for people")
    _who(propose, user)
    propose.set_defaults(do=inbox_commands.propose_order)

    imports = add("import", help="put the orders of a .csv or .json file into the inbox, all or none")
    imports.add_argument("file", type=Path)
    _who(imports, user)
    imports.set_defaults(do=inbox_commands.import_file)

    trade = add("trade", help="open a session and decide what is in the inbox; live if the settings say so")
    _by_and_why(trade, user)
    trade.set_defaults(do=session_commands.trade_inbox)

    approve = add("approve", help="let exactly one request of an order be sent that waits for it")
    approve.add_argument("intent", type=_whole(1, _LARGEST))
    approve.add_argument("sha256", help="the beginning of the request's SHA-256, as it was shown: 12 digits or more")
    approve.add_argument("--by", default=user, help="your name; another than the proposer's")
    approve.set_defaults(do=session_commands.approve)

    arm = add("arm", help="make the token with which live sessions can be opened for a while")
    arm.add_argument("--minutes", type=_whole(1, 24 * 60), default=60, help="how long it is good; at most a day")
    arm.add_argument("--run", type=Path, metavar="FILE", help="also write the config of one run of the job `trade`")
    _by_and_why(arm, user)
    arm.set_defaults(do=session_commands.arm)


def _add_watching(add: Callable[..., argparse.ArgumentParser], user: str) -> None:
    status = add("status", help="kill switch, session, open orders, last reconciliation, what is left of each cap")
    status.set_defaults(do=inspection_commands.status)

    kill = add("kill", help="stop all new risk; level 2 also cancels everything and proves it")
    kill.add_argument("--level", type=int, choices=(1, 2), default=1)
    kill.add_argument("--patience", type=float, default=300, metavar="SECONDS", help="for level 2: how long it goes on")
    _by_and_why(kill, user)
    kill.set_defaults(do=stop_commands.kill)

    drill = add("drill", help="halt for practice, on the sandbox or demo")
    drill.add_argument("--patience", type=float, default=300, metavar="SECONDS")
    _by_and_why(drill, user)
    drill.set_defaults(do=stop_commands.drill)

    release = add("release", help="let new sessions trade again: by another person, after a clean reconciliation")
    _by_and_why(release, user)
    release.set_defaults(do=stop_commands.release)

    reconcile = add("reconcile", help="compare the account with the journal, and resolve what is unknown")
    reconcile.set_defaults(do=inspection_commands.reconcile)

    accept = add("accept", help="take positions that drifted as the journal's own, and clear breached caps")
    accept.add_argument("tickers", nargs="*", metavar="TICKER", help="each market whose position differs")
    _by_and_why(accept, user)
    accept.set_defaults(do=inspection_commands.accept)

    close = add("close-session", help="end the live session of the sub-account")
    _by_and_why(close, user)
    close.set_defaults(do=session_commands.close_session)

    verify = add("verify-audit", help="verify the journal: chain, anchors, states, counters")
    verify.set_defaults(do=inspection_commands.verify_audit)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """What reads an argument that is a whole number between two others."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {least:,} to {most:,}")
        return number

    return read


def _who(parser: argparse.ArgumentParser, user: str) -> None:
    kinds = [kind.value for kind in ActorKind]
    parser.add_argument("--as", dest="kind", choices=kinds, default=ActorKind.PERSON.value, help="who proposes")
    parser.add_argument("--name", default=user, help="the name of who proposes")


def _by_and_why(parser: argparse.ArgumentParser, user: str) -> None:
    parser.add_argument("--by", default=user, help="your name")
    parser.add_argument("--why", required=True, help="the reason, for those who come later")
