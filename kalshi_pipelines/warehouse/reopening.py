"""Let a retired warehouse take writes again, after making sure that its copy takes none."""

import datetime as dt
from collections.abc import Callable
from contextlib import ExitStack

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.copying import full_place_of, is_empty_database, reading_one_state, without_other_work
from kalshi_pipelines.warehouse.engine import explain_failures, writing
from kalshi_pipelines.warehouse.retirement import is_for, reopen, retire, retirement_of
from kalshi_pipelines.warehouse.table_contents import digest_of
from kalshi_pipelines.warehouse.tables import metadata

Report = Callable[[str], None]


class NotReopened(ExpectedError):
    """The warehouse stays retired, because two warehouses that take writes would drift apart."""


def reopen_warehouse(
    source: sa.Engine, copy: sa.Engine | None, report: Report, *, give_up_newer_rows: bool = False
) -> tuple[str, ...]:
    """Let a retired warehouse take writes again, and retire its copy.

    Args:
        source: The retired warehouse.
        copy: The copy, as the source names it; None if the copy does not exist any more.
        report: Called with a sentence for each step.
        give_up_newer_rows: Whether rows that only the copy has may stay behind. The copy keeps them.

    Returns:
        The tables in which the copy has other rows.

    Raises:
        NotReopened: The copy is another place than the one that the source names, or it has other rows.
        AlreadyRunning: A run works on one of the two.
    """
    with ExitStack() as held:
        held.enter_context(explain_failures(source))
        for engine in (source, copy):
            if engine is not None:
                held.enter_context(without_other_work(engine, report))
        with source.connect() as connection:
            sentence = retirement_of(connection)
        if sentence is None:
            report("The warehouse takes writes already.")
            return ()
        differing = _retire_copy(source, copy, sentence, report, give_up_newer_rows=give_up_newer_rows) if copy else ()
        with writing(source) as connection:
            reopen(connection)
    return differing


def _retire_copy(
    source: sa.Engine, copy: sa.Engine, sentence: str, report: Report, *, give_up_newer_rows: bool
) -> tuple[str, ...]:
    place = full_place_of(copy)
    if not is_for(sentence, place):
        raise NotReopened(f"{place} is not the copy of this warehouse. {sentence}", "Name the copy.")
    if is_empty_database(copy):
        return ()
    with explain_failures(copy):
        with reading_one_state(source) as ours, reading_one_state(copy) as theirs:
            differing = tuple(
                table.name for table in metadata.sorted_tables if digest_of(ours, table) != digest_of(theirs, table)
            )
        if differing and not give_up_newer_rows:
            raise NotReopened(
                f"{place} has other rows in {', '.join(differing)}, because it was used after the copy.",
                "Copy it to a new place instead, or add --give-up-newer-rows to work on without these rows.",
            )
        with writing(copy) as connection:
            moment = f"{dt.datetime.now(dt.UTC):%Y-%m-%d at %H:%M} UTC"
            retire(
                connection,
                f"{full_place_of(source)} takes writes again since {moment}, and this is its copy, so it is retired.",
            )
    report(f"{place} is retired now.")
    return differing
