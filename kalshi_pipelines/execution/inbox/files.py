"""Files of proposals in CSV or JSON. A file is imported completely, or refused with a list of its wrong lines.

The proposer is named by the importing person or program, never by the file. The module ``proposals`` holds the rules
for a single proposal.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from kalshi_pipelines.execution.inbox.proposals import (
    FIELDS,
    REQUIRED,
    InvalidProposals,
    ProposalTexts,
    normalised_texts,
    read_proposal,
)
from kalshi_pipelines.execution.orders.proposals import ProposedOrder, Proposer

MOST_PROPOSALS: Final = 1_000
MOST_BYTES: Final = 2_000_000
_MOST_PROBLEMS: Final = 20


def read_proposals(file: Path, proposer: Proposer, now: dt.datetime | None = None) -> tuple[ProposedOrder, ...]:
    """Read the proposals of a ``.csv`` or ``.json`` file. If ``now`` is given, expired proposals are refused.

    Raises:
        InvalidProposals: The file cannot be read, or a line is wrong. The error lists the wrong lines.
    """
    text = _read_text(file)
    match file.suffix.lower():
        case ".csv":
            rows = _parse_csv(text, file.name)
        case ".json":
            rows = _parse_json(text, file.name)
        case other:
            raise InvalidProposals([f"{file.name}: the name must end in .csv or .json, not in {other or 'nothing'}"])
    return _read_all(rows, file.name, proposer, now)


def _read_all(
    rows: Sequence[tuple[str, dict[str, str]]], name: str, proposer: Proposer, now: dt.datetime | None
) -> tuple[ProposedOrder, ...]:
    if not rows:
        raise InvalidProposals([f"{name}: the file contains no proposals"])
    if len(rows) > MOST_PROPOSALS:
        raise InvalidProposals([f"{name}: {len(rows):,} proposals are more than the allowed {MOST_PROPOSALS:,}"])
    orders, problems = [], list(_repeated_signals(rows))
    for where, texts in rows:
        try:
            order = read_proposal(ProposalTexts(**texts), proposer)
        except InvalidProposals as error:
            problems += [f"{where}, {problem}" for problem in error.problems]
            continue
        orders.append(order)
        if now is not None and order.valid_until <= now:
            problems.append(
                f"{where}, valid_until: {order.valid_until:%Y-%m-%d %H:%M:%S} UTC has passed, it is "
                f"{now:%Y-%m-%d %H:%M:%S} UTC: propose the order again, based on current data"
            )
    if problems:
        more = [f"... and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise InvalidProposals(problems[:_MOST_PROBLEMS] + more)
    return tuple(orders)


def _repeated_signals(rows: Sequence[tuple[str, dict[str, str]]]) -> Iterator[str]:
    """Yield a problem for each line that repeats the signal of an earlier line. A signal can become only one order."""
    first: dict[tuple[str, ...], str] = {}
    for where, texts in rows:
        made = normalised_texts(ProposalTexts(**texts))
        # Leading zeros of an attempt do not make another attempt.
        attempt = made.attempt.lstrip("0")
        identity = (made.strategy, made.strategy_version, made.partition, made.signal, made.leg, attempt)
        if identity in first:
            yield f"{where}, signal: the same order as {first[identity]}; a different order needs another signal or leg"
        first.setdefault(identity, where)


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidProposals([f"{file}: the file cannot be read ({error.strerror})"]) from None
    if len(content) > MOST_BYTES:
        raise InvalidProposals([f"{file.name}: the file is larger than {MOST_BYTES:,} bytes"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidProposals([f"{file.name}: the file is not UTF-8"]) from None


def _parse_csv(text: str, name: str) -> list[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise InvalidProposals([f"{name}, line {reader.line_num}: {error}"]) from None
    if not lines:
        return []
    columns = [cell.strip() for cell in lines[0][1]]
    problems = [f"{name}: unknown column {column[:80]!r}" for column in columns if column not in FIELDS]
    problems += [
        f"{name}: column {column} appears twice" for column in sorted(set(columns)) if columns.count(column) > 1
    ]
    problems += [f"{name}: column {column} is missing" for column in REQUIRED if column not in columns]
    problems += [
        f"{name}, line {line}: {len(cells)} cells, but {len(columns)} columns"
        for line, cells in lines[1:]
        if len(cells) != len(columns)
    ]
    if problems:
        raise InvalidProposals(problems[:_MOST_PROBLEMS])
    return [
        (f"line {line}", {column: cell.strip() for column, cell in zip(columns, cells, strict=True)})
        for line, cells in lines[1:]
    ]


def _parse_json(text: str, name: str) -> list[tuple[str, dict[str, str]]]:
    try:
        found = json.loads(
            text, object_pairs_hook=_reject_repeated_names, parse_float=_NumberText, parse_int=_NumberText
        )
    except (ValueError, RecursionError) as error:
        raise InvalidProposals([f"{name}: the file is not valid JSON ({error})"]) from None
    if not isinstance(found, list):
        raise InvalidProposals([f"{name}: the file must be a list of proposals, [{{...}}, {{...}}]"])
    rows, problems = [], []
    for number, each in enumerate(found, 1):
        if not isinstance(each, dict):
            problems.append(f"{name}, proposal {number}: it must be an object, {{...}}")
            continue
        texts = {}
        for field, value in each.items():
            if field not in FIELDS:
                problems.append(f"{name}, proposal {number}: unknown field {field[:80]!r}")
            elif isinstance(value, bool):
                texts[field] = str(value).lower()
            elif isinstance(value, _NumberText) and field == "attempt":
                texts[field] = value.text
            elif isinstance(value, str):
                texts[field] = value
            elif value is not None:
                problems.append(f'{name}, proposal {number}, {field}: write it as text, such as "0.5600"')
        rows.append((f"proposal {number}", texts))
    if problems:
        raise InvalidProposals(problems[:_MOST_PROBLEMS])
    return rows


class _NumberText:
    """A number in a JSON file, kept as text because a float would not keep all digits of the number."""

    def __init__(self, text: str) -> None:
        self.text = text


def _reject_repeated_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field appears twice")
    return found
