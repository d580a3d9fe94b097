"""A state machine test of findings in a real warehouse. Its model of findings shares no code with the product."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.recording import EndpointResult
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import alerts, contract_findings

ENDPOINTS = ("GET /markets", "GET /series")
GRAVITY = {"additive": 0, "risky": 1, "breaking": 2}

Seen = dict[tuple[str, str], tuple[str, str]]
"""The differences that a contract run sees. An endpoint and a JSON path map to the new value and the severity."""
SEEN: st.SearchStrategy[Seen] = st.dictionaries(
    st.tuples(st.sampled_from(ENDPOINTS), st.sampled_from(["p", "q"])),
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["risky", "breaking"])),
    max_size=4,
)
OUTCOMES = st.dictionaries(st.sampled_from(ENDPOINTS), st.sampled_from(["checked", "empty", "maintenance"]), min_size=1)


#: Hypothesis must not simplify failing examples: with a database, simplifying takes minutes. The printed steps of a
#: failing example are clear enough.
FEW = settings(max_examples=30, stateful_step_count=25, deadline=None, phases=[Phase.explicit, Phase.generate])


@dataclass
class Expected:
    """The expected state of a finding in the model."""

    after: str
    severity: str
    source: str
    status: str = "open"
    openings: int = 1
    missed: int = 0
    announced: set[tuple[int, str]] = field(default_factory=set)


class Model:
    """The model of all findings, written from the documentation and not from the code."""

    def __init__(self) -> None:
        self.findings: dict[tuple[str, str], Expected] = {}

    def run(self, outcomes: dict[str, str], seen: Seen, source: str) -> None:
        for key, (after, severity) in seen.items():
            self._see(key, after, severity, source)
        for key, finding in self.findings.items():
            if (
                key not in seen
                and finding.status != "closed"
                and outcomes.get(key[0]) == "checked"
                and finding.source == source
            ):
                finding.missed += 1
                if finding.missed == min(2**finding.openings, 16):
                    finding.status = "closed"

    def _see(self, key: tuple[str, str], after: str, severity: str, source: str) -> None:
        known = self.findings.get(key)
        if known is None:
            known = self.findings[key] = Expected(after, severity, source)
            known.announced.add((1, severity))
            return
        is_live, is_graver = known.status != "closed", GRAVITY[severity] > GRAVITY[known.severity]
        if is_live and not is_graver:
            severity = known.severity
            if known.source != source:
                # Probes and ingests word the same difference differently. The finding keeps the words of the probes.
                after = after if source == "probes" else known.after
                known.after, known.source, known.missed = after, source, 0
                return
        if not is_live or (known.status == "acknowledged" and (is_graver or after != known.after)):
            known.status = "open"
            known.openings += 1
        known.after, known.severity, known.source, known.missed = after, severity, source, 0
        if known.status == "open":
            known.announced.add((known.openings, severity))


class Findings(RuleBasedStateMachine):
    """A state machine of contract runs and acknowledgements in any order. Some runs are recorded a second time."""

    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        shutil.copy(self.migrated, Path(self.folder.name) / "warehouse.db")
        self.engine = open_engine(f"sqlite:///{self.folder.name}/warehouse.db")
        self.model = Model()
        self.now_us = 1_000 * HOUR_US
        self.last: tuple[int, list[EndpointResult]] | None = None

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()

    @rule(outcomes=OUTCOMES, seen=SEEN, source=st.sampled_from(["probes", "ingest"]), hours=st.integers(0, 30))
    def run(self, outcomes: dict[str, str], seen: Seen, source: str, hours: int) -> None:
        self.now_us += hours * HOUR_US
        seen = {key: what for key, what in seen.items() if outcomes.get(key[0]) == "checked"}
        run_id = store.begin_run(self.engine, "prod", RunSource(source), self.now_us)
        self._record(run_id, outcomes, seen, source)

    @rule(first=SEEN, second=SEEN)
    def two_runs_that_began_together(self, first: Seen, second: Seen) -> None:
        outcomes = dict.fromkeys(ENDPOINTS, "checked")
        run_ids = [store.begin_run(self.engine, "prod", RunSource.PROBES, self.now_us) for _ in range(2)]
        for run_id, seen in zip(run_ids, (second, first), strict=True):
            self._record(run_id, outcomes, seen, "probes")

    def _record(self, run_id: int, outcomes: dict[str, str], seen: Seen, source: str) -> None:
        results = [
            EndpointResult(endpoint, CheckResult(CheckOutcome(outcome), self._differences(endpoint, seen), None))
            for endpoint, outcome in outcomes.items()
        ]
        recorded = store.record(self.engine, run_id, results, self.now_us)
        self.model.run(outcomes, seen, source)
        self.last = (run_id, results)
        open_now = {
            (finding.difference.endpoint, finding.difference.place)
            for finding in store.open_findings(self.engine, "prod")
        }
        assert {(each.difference.endpoint, each.difference.place) for each in recorded.open} == open_now

    @staticmethod
    def _differences(endpoint: str, seen: Seen) -> tuple[Difference, ...]:
        return tuple(
            Difference(endpoint, place, Kind.TYPE_CHANGED, Severity(severity), "before", after)
            for (where, place), (after, severity) in seen.items()
            if where == endpoint
        )

    @precondition(lambda self: self.last is not None)
    @rule()
    def record_again(self) -> None:
        assert self.last is not None
        store.record(self.engine, *self.last, self.now_us)

    @precondition(lambda self: any(each.status == "open" for each in self.model.findings.values()))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        key = data.draw(
            st.sampled_from(sorted(key for key, each in self.model.findings.items() if each.status == "open"))
        )
        (finding_id,) = [row.finding_id for row in self._rows() if (row.endpoint, row.place) == key]
        store.acknowledge(self.engine, finding_id, "Ann", "because", self.now_us)
        self.model.findings[key].status = "acknowledged"

    def _rows(self) -> list[sa.Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(contract_findings)).all())

    @invariant()
    def the_warehouse_holds_what_the_model_expects(self) -> None:
        stored = {
            (row.endpoint, row.place): (row.status, row.after, row.severity, row.openings) for row in self._rows()
        }
        assert stored == {
            key: (each.status, each.after, each.severity, each.openings) for key, each in self.model.findings.items()
        }

    @invariant()
    def people_were_told_once_of_everything_that_is_news(self) -> None:
        with self.engine.connect() as connection:
            count = sa.func.count()
            announced = {
                (row.endpoint, row.place): row[2]
                for row in connection.execute(
                    sa.select(contract_findings.c.endpoint, contract_findings.c.place, count)
                    .join_from(contract_findings, alerts)
                    .group_by(contract_findings.c.endpoint, contract_findings.c.place)
                )
            }
        assert announced == {key: len(each.announced) for key, each in self.model.findings.items()}


@pytest.mark.timeout(600)
def test_findings_behave_like_the_model(migrated_file: Path) -> None:
    machine = type("FindingsHere", (Findings,), {"migrated": migrated_file})
    run_state_machine_as_test(machine, settings=FEW)
