"""``python -m kalshi_pipelines.contracts``: check vendors, list and acknowledge findings, record answers.

The exit status is 1 if a breaking finding is open after ``run``, and 2 if a command could not be carried out.
"""

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import moment
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import Finding, FindingStatus
from kalshi_pipelines.contracts.health import check_freshness
from kalshi_pipelines.contracts.probing.fixtures import describe_age, write_recording
from kalshi_pipelines.contracts.runs import environment_to_check, fetch_exchange_answers, run_contract_checks
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.settings import Settings, take_env_file
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine
from kalshi_pipelines.warehouse.migrations import require_head


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line, and return the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        take_env_file()
        settings = Settings.from_environment()
        if given.command == "record" and given.age:
            print(describe_age(given.folder, now_us()))
            return 0
        engine = open_engine(settings.resolved_warehouse_url)
        try:
            with explain_failures(engine):
                require_head(engine)
                return _execute(given, settings, engine)
        finally:
            engine.dispose()
    except (ExpectedError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.contracts",
        description="Check vendor endpoints against their contracts, and manage the findings.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="probe every vendor endpoint and compare the answers with the contracts")
    findings = commands.add_parser("findings", help="list open and acknowledged findings")
    findings.add_argument("--all", action="store_true", help="list closed findings too")
    show = commands.add_parser("show", help="show one finding and its history")
    show.add_argument("finding", type=int, metavar="ID")
    acknowledge = commands.add_parser("acknowledge", help="acknowledge a finding: it sends no alert until it changes")
    acknowledge.add_argument("finding", type=int, metavar="ID")
    acknowledge.add_argument("--why", required=True, help="the reason why the difference may stay")
    acknowledge.add_argument("--who", default=None, help="who acknowledges (default: the user of this computer)")
    recording = commands.add_parser(
        "record", help="record answers as fixtures without identifiers; no finding or alert is made"
    )
    recording.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the recording")
    recording.add_argument("--age", action="store_true", help="only print the age of the recording in the folder")
    return parser


def _execute(given: argparse.Namespace, settings: Settings, engine: sa.Engine) -> int:
    environment = environment_to_check(settings).value
    match given.command:
        case "run":
            return _run(settings, engine)
        case "findings":
            wanted = tuple(FindingStatus) if given.all else (FindingStatus.OPEN, FindingStatus.ACKNOWLEDGED)
            return _list(store.findings(engine, environment, *wanted), engine, environment)
        case "show":
            return _show(engine, given.finding)
        case "acknowledge":
            finding = store.acknowledge(engine, given.finding, given.who or getpass.getuser(), given.why, now_us())
            print(f"Finding {finding.finding_id} is acknowledged by {finding.acknowledged_by}.")
            return 0
    return _record(settings, engine, given.folder)


def _record(settings: Settings, engine: sa.Engine, folder: Path) -> int:
    print(describe_age(folder, now_us()))
    answers = fetch_exchange_answers(settings, engine)
    written = write_recording(answers.responses, folder, now_us())
    print(
        f"{written} answers of {answers.environment.value} written to {folder}. Amounts and tickers stay as they are."
    )
    if not written:
        print(
            "Nothing was recorded, because nothing answered. Check the network and the settings, then try again.",
            file=sys.stderr,
        )
    return 0 if written else 2


def _run(settings: Settings, engine: sa.Engine) -> int:
    report = run_contract_checks(settings, engine)
    print(report)
    for finding in report.recorded.open:
        print(_line(finding))
    if not report.is_answered:
        print(
            "No endpoint gave an answer that could be checked. Check the network and the settings, then try again.",
            file=sys.stderr,
        )
        return 0 if report.is_maintenance else 2
    return 1 if report.is_broken else 0


def _list(found: Sequence[Finding], engine: sa.Engine, environment: str) -> int:
    for finding in found:
        print(_line(finding))
    count = "1 finding" if len(found) == 1 else f"{len(found)} findings"
    print(f"{count} of {environment}; {check_freshness(engine, environment, now_us()).sentence}")
    return 0


def _line(finding: Finding) -> str:
    difference = finding.difference
    return (
        f"{finding.finding_id:>5}  {difference.severity.value:<9}{finding.status.value:<13}{difference.endpoint}  "
        f"{difference.place}  {difference.kind.value}: {difference.after}"
    )


def _show(engine: sa.Engine, finding_id: int) -> int:
    finding, history = store.finding_with_history(engine, finding_id)
    difference = finding.difference
    rows = (
        ("finding", str(finding.finding_id)), ("status", finding.status.value), ("environment", finding.environment),
        ("severity", difference.severity.value), ("endpoint", difference.endpoint), ("place", difference.place),
        ("kind", difference.kind.value), ("before", difference.before), ("after", difference.after),
        ("example", difference.example), ("breaks", ", ".join(difference.assets)), ("do", difference.advice),
        ("first seen", moment(finding.first_seen_us)), ("last seen", moment(finding.last_seen_us)),
    )  # fmt: skip
    for name, value in rows:
        if value:
            print(f"{name:<12}{value}")
    for entry in history:
        by = f" by {entry.who}: {entry.why}" if entry.who else ""
        print(f"{moment(entry.at_us)}  {entry.event.value}{by}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
