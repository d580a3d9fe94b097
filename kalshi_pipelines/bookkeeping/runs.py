"""Run records: how many records an ingest read, wrote, left unchanged and rejected.

The counts are stored in the same transactions as the rows they count.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.settings import Environment
from kalshi_pipelines.units import SECOND_US, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.environment import refuse_another_environment
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines.warehouse.tables import ingest_runs

_KILLED: Final = "killed: the process ended without recording the run's end; the next run of this subject noticed it"
_MOST_ERROR_TEXT: Final = 2_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """Numbers of records in one ingest: read = written + unchanged + rejected.

    Attributes:
        pages: Complete pages stored.
        read: Records received.
        written: Records inserted or changed.
        unchanged: Records equal to the stored record.
        rejected: Records put into quarantine.
        history_rows: Rows added to the subject's history table, if it has one.
        placeholders: Placeholder rows added for parents that were not read yet.
    """

    pages: int = 0
    read: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    history_rows: int = 0
    placeholders: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.pages + other.pages,
            self.read + other.read,
            self.written + other.written,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
            self.history_rows + other.history_rows,
            self.placeholders + other.placeholders,
        )


@dataclass(frozen=True)
class Progress:
    """The progress of an ingest; its text is one line for a log.

    Attributes:
        subject: The subject of the ingest.
        counts: Numbers of records so far.
        expected: The known total, or the number of records that the last complete run read; None if neither is known.
        seconds: Time since the start.
        status: ``running``, ``succeeded`` or ``failed``.
    """

    subject: str
    counts: Counts
    expected: int | None
    seconds: float
    status: str = "running"

    def __str__(self) -> str:
        rate = self.counts.read / self.seconds if self.seconds else 0.0
        done = f"{self.counts.read:,}"
        if self.expected:
            done += f" of about {self.expected:,}"
        text = f"{self.subject} {self.status}: {done} records, {rate:,.0f}/s, "
        text += f"{self.counts.written:,} written, {self.counts.rejected:,} rejected"
        if self.expected and rate and self.expected > self.counts.read:
            text += f", about {(self.expected - self.counts.read) / rate:,.0f} s left"
        return text


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore the progress, for ingests whose progress nobody watches."""


class IngestRun:
    """One ingest of one subject, from its first page to its last, as a context manager.

    Leaving the block marks the run as succeeded, or as failed with the error's text.

    Raises:
        AlreadyRunning: On entering, if another run ingests the subject.
        WarehouseOfAnotherEnvironment: On entering, if the warehouse holds records of another environment.
    """

    def __init__(
        self,
        engine: sa.Engine,
        subject: str,
        environment: Environment,
        *,
        dagster_run_id: str | None = None,
        report: Report = silent,
    ) -> None:
        self.engine = engine
        self.subject = subject
        self.environment = environment
        self.counts = Counts()
        self.started_us = now_us()
        self._report = report
        self.dagster_run_id = dagster_run_id
        self._run_id: int | None = None
        self._expected: int | None = None

    @property
    def run_id(self) -> int:
        """The key of the run's row in ``ingest_runs``."""
        if self._run_id is None:
            raise RuntimeError("An IngestRun has an id only inside its with block.")
        return self._run_id

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return (now_us() - self.started_us) / SECOND_US

    def expect(self, records: int) -> None:
        """Set the number of records to expect; progress lines estimate the time left from this number."""
        self._expected = records

    def __enter__(self) -> "IngestRun":
        with ExitStack() as held:
            held.enter_context(hold_work_lock(self.engine, self.subject))
            with writing(self.engine) as connection:
                refuse_another_environment(connection, self.environment)
                self._begin(connection)
            self._held = held.pop_all()
        return self

    def _begin(self, connection: sa.Connection) -> None:
        runs = ingest_runs.c
        # This run holds the subject's lock, so another run that is still marked as running was killed.
        killed = sa.update(ingest_runs).where(runs.subject == self.subject, runs.status == "running")
        connection.execute(killed.values(status="failed", finished_us=self.started_us, error=_KILLED))
        last_complete = (
            sa.select(runs.records_read)
            .where(runs.subject == self.subject, runs.status == "succeeded")
            .order_by(runs.ingest_run_id.desc())
            .limit(1)
        )
        self._expected = connection.scalar(last_complete)
        self._run_id = connection.scalar(
            sa.insert(ingest_runs).returning(runs.ingest_run_id),
            {
                "subject": self.subject,
                "environment": self.environment,
                "dagster_run_id": self.dagster_run_id,
                "status": "running",
                "started_us": self.started_us,
                **_columns(Counts()),
            },
        )

    def add_page(self, connection: sa.Connection, counts: Counts) -> None:
        """Add the counts of a page, inside the transaction that stores the page."""
        total = self.counts + replace(counts, pages=1)
        self._update(connection, _columns(total))
        self.counts = total

    def report_progress(self) -> None:
        """Send the present progress to the report function."""
        self._report(Progress(self.subject, self.counts, self._expected, self.seconds))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with self._held:
            status, text = ("succeeded", None) if error is None else ("failed", f"{type(error).__name__}: {error}")
            try:
                with writing(self.engine) as connection:
                    ended = {"status": status, "finished_us": now_us(), "error": text and text[:_MOST_ERROR_TEXT]}
                    self._update(connection, ended)
            except sa.exc.DBAPIError:
                if error is None:
                    raise
                # The end of a failed run could not be recorded. The error that made the run fail must be raised,
                # not this database error. The next run of the subject marks the failed run as killed.
                logger.warning("The end of ingest run %s could not be recorded.", self.run_id)
        self._report(Progress(self.subject, self.counts, None, self.seconds, status))

    def _update(self, connection: sa.Connection, values: dict[str, object]) -> None:
        connection.execute(sa.update(ingest_runs).where(ingest_runs.c.ingest_run_id == self.run_id).values(values))


def _columns(counts: Counts) -> dict[str, object]:
    return {
        "pages": counts.pages,
        "records_read": counts.read,
        "records_written": counts.written,
        "records_unchanged": counts.unchanged,
        "records_rejected": counts.rejected,
        "history_rows": counts.history_rows,
    }
