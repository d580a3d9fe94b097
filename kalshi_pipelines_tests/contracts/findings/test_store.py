"""Findings in a warehouse are opened, announced once, acknowledged, closed and reopened, also by parallel runs."""

import threading
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.baseline import compare
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.comparison.inventory import Inventory, Place
from kalshi_pipelines.contracts.declared import CONTRACTS
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import FindingEvent, FindingStatus, RunSource
from kalshi_pipelines.contracts.findings.store import EndpointResult, FindingNotRecorded, RecordedRun, begin_run, record
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.units import DAY_US, HOUR_US
from kalshi_pipelines.warehouse.tables import alerts, contract_endpoints, contract_findings, contract_runs

MARKETS, SERIES, EXA = "GET /markets", "GET /series", "POST api.exa.ai/search"


def difference(
    after: str = "in none",
    *,
    endpoint: str = MARKETS,
    place: str = "markets[].yes_bid_dollars",
    kind: Kind = Kind.KEY_MISSING,
    severity: Severity = Severity.BREAKING,
) -> Difference:
    return Difference(endpoint, place, kind, severity, "in every record", after, "an example", ("markets",), "Look.")


class Runs:
    """Simulated contract runs, six hours apart unless a test says otherwise."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.now_us = 1_000 * HOUR_US

    def run(
        self,
        *differences: Difference,
        outcomes: Sequence[tuple[str, CheckOutcome]] = ((MARKETS, CheckOutcome.CHECKED),),
        source: RunSource = RunSource.PROBES,
        inventory: Inventory | None = None,
        hours: float = 6,
    ) -> RecordedRun:
        self.now_us += int(hours * HOUR_US)
        results = [
            EndpointResult(
                endpoint,
                CheckResult(outcome, tuple(each for each in differences if each.endpoint == endpoint), inventory),
            )
            for endpoint, outcome in outcomes
        ]
        run_id = begin_run(self.engine, "prod", source, self.now_us)
        return record(self.engine, run_id, results, self.now_us)

    def away(self, *endpoints: str, hours: float = 6) -> RecordedRun:
        return self.run(outcomes=[(endpoint, CheckOutcome.UNREACHABLE) for endpoint in endpoints], hours=hours)

    def titles(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.select(alerts.c.title).order_by(alerts.c.alert_id)))

    def statuses(self) -> list[str]:
        with self.engine.connect() as connection:
            order = contract_findings.c.finding_id
            return list(connection.scalars(sa.select(contract_findings.c.status).order_by(order)))


@pytest.fixture
def runs(engine: sa.Engine) -> Runs:
    return Runs(engine)


def test_a_finding_seen_again_and_again_sends_one_alert(runs: Runs) -> None:
    assert len(runs.run(difference()).news) == 1
    assert [runs.run(difference()).news for _ in range(3)] == [()] * 3
    assert runs.titles() == ["Breaking drift on prod: GET /markets markets[].yes_bid_dollars: key missing"]


def test_an_open_finding_that_changes_sends_no_second_alert(runs: Runs) -> None:
    (finding,) = runs.run(difference("in none")).news
    for after in ("in half", "in none", "in half"):
        assert runs.run(difference(after)).news == ()
    assert len(runs.titles()) == 1
    kept, history = store.finding_with_history(runs.engine, finding.finding_id)
    assert kept.difference.after == "in half"
    assert [entry.event for entry in history] == [FindingEvent.OPENED, *[FindingEvent.CHANGED] * 3]


@pytest.mark.parametrize("first", [RunSource.PROBES, RunSource.INGEST])
def test_another_text_from_the_other_source_is_no_change(runs: Runs, first: RunSource) -> None:
    other = {RunSource.PROBES: RunSource.INGEST, RunSource.INGEST: RunSource.PROBES}[first]
    (finding,) = runs.run(difference("in none"), source=first).news
    store.acknowledge(runs.engine, finding.finding_id, "Ann", "because", runs.now_us)
    for _ in range(3):
        assert runs.run(difference("in half"), source=other).news == ()
        assert runs.run(difference("in half" if first is RunSource.INGEST else "in none"), source=first).news == ()
    assert runs.statuses() == ["acknowledged"]


def test_a_new_value_after_an_acknowledged_new_value_is_news(runs: Runs) -> None:
    (finding,) = runs.run(difference("new values: 'x'", kind=Kind.VALUE_NEW)).news
    store.acknowledge(runs.engine, finding.finding_id, "Ann", "because", runs.now_us)
    assert len(runs.run(difference("new values: 'y'", kind=Kind.VALUE_NEW), source=RunSource.INGEST).news) == 1


def test_a_finding_that_becomes_graver_alerts_again(runs: Runs) -> None:
    for severity in (Severity.RISKY, Severity.BREAKING, Severity.RISKY, Severity.BREAKING):
        runs.run(difference(severity=severity))
    assert [title.split()[0] for title in runs.titles()] == ["Risky", "Breaking"]
    (finding,) = store.open_findings(runs.engine, "prod")
    runs.run(difference(severity=Severity.RISKY))
    assert store.open_findings(runs.engine, "prod")[0].difference.severity is finding.difference.severity


# One incident sends one message ---------------------------------------------------------------------------------------

PRICE = "markets[].yes_bid_dollars"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (difference(kind=Kind.KEY_RENAMED), difference()),
        (difference(kind=Kind.VALUE_NEW), difference(kind=Kind.VALUE_CHANGED, severity=Severity.RISKY)),
        (difference(place="markets"), difference(place=PRICE, severity=Severity.RISKY)),
        (difference(), difference(place="markets[].no_ask_dollars", kind=Kind.INVARIANT_BROKEN)),
        (difference(), difference(place="markets[].volume_fp", kind=Kind.VALUE_FROZEN, severity=Severity.RISKY)),
        (difference(place="$", kind=Kind.ABSURD), difference("500", place="status", kind=Kind.STATUS_CHANGED)),
        (difference(), difference(endpoint="GET /markets/{ticker}", place="market.yes_bid_dollars")),
    ],
    ids=["renamed", "new word", "inside", "concluded", "frozen", "unreadable", "other endpoint"],
)
def test_a_later_consequence_of_an_announced_change_sends_no_alert(
    runs: Runs, first: Difference, second: Difference
) -> None:
    runs.run(first)
    outcomes = [(MARKETS, CheckOutcome.CHECKED), ("GET /markets/{ticker}", CheckOutcome.CHECKED)]
    assert len(runs.run(first, second, outcomes=outcomes).news) == 1
    assert len(runs.titles()) == 1
    assert runs.statuses() == ["open", "open"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (difference(severity=Severity.RISKY), difference(kind=Kind.TYPE_CHANGED)),
        (difference(), difference(place="markets[].no_bid_dollars")),
        (difference(), difference(place="events[].title", endpoint="GET /events", kind=Kind.INVARIANT_BROKEN)),
        (difference(), difference(place="markets")),
        (difference("401", place="status"), difference("401", place="status", endpoint=SERIES)),
    ],
    ids=["graver", "another key", "another record", "more than it", "another endpoint"],
)
def test_an_independent_change_sends_an_alert_of_its_own(runs: Runs, first: Difference, second: Difference) -> None:
    runs.run(first)
    runs.run(first, second, outcomes=[(MARKETS, CheckOutcome.CHECKED), (second.endpoint, CheckOutcome.CHECKED)])
    assert len(runs.titles()) == 2


def test_all_new_findings_of_one_run_send_alerts(runs: Runs) -> None:
    runs.run(difference(), difference(place="markets[].no_ask_dollars", kind=Kind.INVARIANT_BROKEN))
    assert len(runs.titles()) == 2


def test_a_consequence_after_an_acknowledgement_sends_an_alert(runs: Runs) -> None:
    (finding,) = runs.run(difference(kind=Kind.KEY_RENAMED)).news
    store.acknowledge(runs.engine, finding.finding_id, "Ann", "because", runs.now_us)
    runs.run(difference())
    assert len(runs.titles()) == 2


def test_the_same_change_of_a_key_at_another_endpoint_a_day_later_is_news(runs: Runs) -> None:
    runs.run(difference())
    second = difference(endpoint="GET /markets/{ticker}", place="market.yes_bid_dollars")
    runs.run(second, outcomes=[("GET /markets/{ticker}", CheckOutcome.CHECKED)], hours=25)
    assert len(runs.titles()) == 2


def test_additions_wait_while_their_endpoint_has_a_graver_finding(runs: Runs) -> None:
    addition = difference("text", place="markets[].state", kind=Kind.KEY_NEW, severity=Severity.ADDITIVE)
    (finding, _) = runs.run(difference(), addition).news
    runs.run(difference(), addition, hours=24)
    assert len(runs.titles()) == 1
    store.acknowledge(runs.engine, finding.finding_id, "Ann", "because", runs.now_us)
    runs.run(difference(), addition)
    assert runs.titles()[1:] == ["1 addition on prod: nothing depends on them yet"]


def test_an_acknowledged_finding_is_silent_until_it_changes(runs: Runs) -> None:
    (finding,) = runs.run(difference()).news
    acknowledged = store.acknowledge(runs.engine, finding.finding_id, "Ann", "we do not use it", runs.now_us)
    assert (acknowledged.status, acknowledged.acknowledged_by, acknowledged.acknowledged_why) == (
        FindingStatus.ACKNOWLEDGED,
        "Ann",
        "we do not use it",
    )
    assert runs.run(difference()).open == ()
    assert len(runs.titles()) == 1
    (again,) = runs.run(difference("in half")).news
    assert (again.finding_id, again.status, again.acknowledged_by) == (finding.finding_id, FindingStatus.OPEN, None)
    assert len(runs.titles()) == 2
    _, history = store.finding_with_history(runs.engine, finding.finding_id)
    assert [entry.event for entry in history] == [FindingEvent.OPENED, FindingEvent.ACKNOWLEDGED, FindingEvent.REOPENED]
    assert (history[1].who, history[1].why) == ("Ann", "we do not use it")


@pytest.mark.parametrize(("who", "why"), [("", "because"), ("Ann", " "), ("", "")])
def test_an_acknowledgement_without_a_name_or_reason_is_refused(runs: Runs, who: str, why: str) -> None:
    (finding,) = runs.run(difference()).news
    with pytest.raises(FindingNotRecorded, match="needs a name and a reason"):
        store.acknowledge(runs.engine, finding.finding_id, who, why, runs.now_us)


def test_only_an_open_finding_can_be_acknowledged(runs: Runs) -> None:
    (finding,) = runs.run(difference()).news
    store.acknowledge(runs.engine, finding.finding_id, "Ann", "because", runs.now_us)
    with pytest.raises(FindingNotRecorded, match="is acknowledged"):
        store.acknowledge(runs.engine, finding.finding_id, "Bob", "because", runs.now_us)
    with pytest.raises(FindingNotRecorded, match="no finding 99"):
        store.acknowledge(runs.engine, 99, "Bob", "because", runs.now_us)


def test_a_finding_closes_after_two_absences_and_alerts_on_return(runs: Runs) -> None:
    runs.run(difference())
    assert runs.run().closed == ()
    assert len(runs.run().closed) == 1
    (back,) = runs.run(difference()).news
    assert back.openings == 2
    assert len(runs.titles()) == 2
    assert [len(runs.run().closed) for _ in range(4)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [(SERIES, CheckOutcome.CHECKED)],
        *[[(MARKETS, outcome)] for outcome in CheckOutcome if outcome is not CheckOutcome.CHECKED],
    ],
)
def test_a_finding_stays_open_if_its_endpoint_was_not_checked(
    runs: Runs, outcomes: list[tuple[str, CheckOutcome]]
) -> None:
    runs.run(difference())
    for _ in range(5):
        runs.run(outcomes=outcomes, hours=0.01)
    assert runs.statuses()[0] == "open"


def test_a_finding_about_the_status_closes_after_empty_lists(runs: Runs) -> None:
    runs.run(difference("401", place="status", kind=Kind.STATUS_CHANGED))
    for _ in range(2):
        runs.run(outcomes=[(MARKETS, CheckOutcome.EMPTY)])
    assert runs.statuses() == ["closed"]


def test_a_finding_stays_open_while_its_place_is_absent(runs: Runs) -> None:
    kind = Kind.VALUE_NEW
    runs.run(difference("draw", place="markets[].result", kind=kind))
    for _ in range(4):
        runs.run(inventory=Inventory({"cursor": Place(of=1, seen=1)}))
    assert runs.statuses() == ["open"]


def test_unreadable_answers_close_no_finding(runs: Runs) -> None:
    runs.run(difference())
    for _ in range(4):
        runs.run(difference("no JSON", place="$", kind=Kind.ABSURD))
    assert runs.statuses() == ["open", "open"]
    for _ in range(2):
        runs.run()
    assert runs.statuses() == ["closed", "closed"]


def test_only_refusals_close_a_finding_about_refusals(runs: Runs) -> None:
    runs.run(difference("flat", place="refusal.404", kind=Kind.ERROR_SHAPE_CHANGED))
    for _ in range(4):
        runs.run()
    assert runs.statuses() == ["open"]
    for _ in range(2):
        runs.run(outcomes=[(MARKETS, CheckOutcome.CHECKED), (MARKETS, CheckOutcome.REFUSED)])
    assert runs.statuses() == ["closed"]


def test_only_the_source_that_saw_a_finding_last_closes_it(runs: Runs) -> None:
    runs.run(difference())
    for _ in range(5):
        runs.run(source=RunSource.INGEST)
    assert runs.statuses() == ["open"]
    assert runs.run(difference(), source=RunSource.INGEST).news == ()
    for _ in range(5):
        runs.run()
    assert runs.statuses() == ["open"]
    for _ in range(2):
        runs.run(source=RunSource.INGEST)
    assert runs.statuses() == ["closed"]
    assert len(runs.titles()) == 1


def test_additions_are_summarized_at_most_twice_a_day(runs: Runs) -> None:
    def addition(name: str) -> Difference:
        return difference("text", place=f"markets[].{name}", kind=Kind.KEY_NEW, severity=Severity.ADDITIVE)

    runs.run(addition("a"), addition("b"))
    assert runs.titles() == ["2 additions on prod: nothing depends on them yet"]
    runs.run(addition("a"), addition("b"), addition("c"))
    assert len(runs.titles()) == 1
    runs.run(addition("a"), addition("b"), addition("c"), addition("d"))
    assert runs.titles()[1:] == ["2 additions on prod: nothing depends on them yet"]
    assert not store.queue_summary(runs.engine, "prod", runs.now_us + DAY_US)


def test_a_run_recorded_twice_changes_nothing(runs: Runs) -> None:
    result = EndpointResult(MARKETS, CheckResult(CheckOutcome.CHECKED, (difference(),), None))
    run_id = begin_run(runs.engine, "prod", RunSource.PROBES, 1)
    assert len(record(runs.engine, run_id, [result], 2).news) == 1
    assert record(runs.engine, run_id, [], 3).news == ()
    assert len(runs.titles()) == 1
    with pytest.raises(FindingNotRecorded, match="no contract run 99"):
        record(runs.engine, 99, [], 4)


def test_concurrent_runs_double_neither_findings_nor_alerts(runs: Runs) -> None:
    result = EndpointResult(
        MARKETS, CheckResult(CheckOutcome.CHECKED, (difference(), difference(place="cursor")), None)
    )
    run_ids = [begin_run(runs.engine, "prod", RunSource.PROBES, 1) for _ in range(6)]
    failures: list[Exception] = []

    def record_one(run_id: int) -> None:
        try:
            record(runs.engine, run_id, [result], 2)
        except Exception as error:  # noqa: BLE001  # asserted below
            failures.append(error)

    threads = [threading.Thread(target=record_one, args=(run_id,)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert runs.statuses() == ["open", "open"]
    assert len(runs.titles()) == 2


def test_a_failure_while_recording_stores_nothing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("kalshi_pipelines.contracts.findings.recording.save_baseline", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        runs.run(difference())
    assert runs.statuses() == []
    assert runs.titles() == []


def test_findings_of_environments_are_separate(runs: Runs) -> None:
    runs.run(difference())
    run_id = begin_run(runs.engine, "demo", RunSource.PROBES, runs.now_us)
    record(runs.engine, run_id, [EndpointResult(MARKETS, CheckResult(CheckOutcome.CHECKED, (), None))], runs.now_us)
    assert len(store.open_findings(runs.engine, "prod")) == 1
    assert store.open_findings(runs.engine, "demo") == ()
    assert store.last_success_us(runs.engine, "sandbox") is None


# A vendor that does not answer ----------------------------------------------------------------------------------------


def test_an_unreachable_vendor_is_one_finding_that_closes_by_itself(runs: Runs) -> None:
    assert runs.away(MARKETS, SERIES).news == ()
    assert runs.away(MARKETS, SERIES, hours=0.3).news == ()
    (finding,) = runs.away(MARKETS, SERIES, hours=0.3).news
    assert (finding.difference.endpoint, finding.difference.kind) == ("Kalshi", Kind.UNREACHABLE)
    assert runs.away(MARKETS, SERIES).news == ()
    assert len(runs.titles()) == 1
    back = runs.run(outcomes=[(MARKETS, CheckOutcome.EMPTY), (SERIES, CheckOutcome.UNREACHABLE)])
    assert [each.difference.endpoint for each in back.closed] == ["Kalshi"]
    # The vendor answers again, except at one endpoint. The endpoint was already silent during the vendor's outage, so
    # its first failed run after the outage opens a finding.
    assert [each.difference.endpoint for each in back.news] == [SERIES]


def test_two_failed_runs_six_hours_apart_are_a_finding(runs: Runs) -> None:
    runs.away(MARKETS)
    assert len(runs.away(MARKETS).news) == 1


def test_a_short_outage_is_no_finding(runs: Runs) -> None:
    for _ in range(5):
        assert runs.away(MARKETS, hours=0.1).news == ()
        assert runs.away(MARKETS, hours=0.1).news == ()
        runs.run()
    assert runs.titles() == []


def test_an_unreachable_vendor_does_not_affect_other_vendors(runs: Runs) -> None:
    for _ in range(3):
        recorded = runs.run(outcomes=[(MARKETS, CheckOutcome.CHECKED), (EXA, CheckOutcome.UNREACHABLE)])
    assert [each.difference.endpoint for each in recorded.open] == ["api.exa.ai"]


def test_maintenance_is_neither_a_failure_nor_an_answer(runs: Runs) -> None:
    runs.away(MARKETS)
    for _ in range(4):
        assert runs.run(outcomes=[(MARKETS, CheckOutcome.MAINTENANCE)], hours=0.5).news == ()
    with runs.engine.connect() as connection:
        assert set(connection.scalars(sa.select(contract_endpoints.c.failures))) == {1}
    runs.run()
    with runs.engine.connect() as connection:
        assert set(connection.scalars(sa.select(contract_endpoints.c.failures))) == {0}


def test_a_run_without_answers_is_no_success(runs: Runs) -> None:
    runs.run()
    succeeded_us = runs.now_us
    runs.away(MARKETS)
    runs.run(outcomes=[(MARKETS, CheckOutcome.CHECKED)], source=RunSource.INGEST)
    assert store.last_success_us(runs.engine, "prod") == succeeded_us


def test_a_killed_run_is_marked_failed_when_a_later_one_begins(runs: Runs) -> None:
    killed = begin_run(runs.engine, "prod", RunSource.PROBES, runs.now_us)
    runs.run(hours=7)
    failed = begin_run(runs.engine, "prod", RunSource.PROBES, runs.now_us)
    store.fail_run(runs.engine, failed, "api_key=hunter22 was refused", runs.now_us)
    with runs.engine.connect() as connection:
        errors = {
            row.contract_run_id: row.error
            for row in connection.execute(sa.select(contract_runs).where(contract_runs.c.status == "failed"))
        }
    assert errors == {killed: "killed: it had not ended after 6 hours", failed: "api_key=[hidden] was refused"}


# Learned baselines ----------------------------------------------------------------------------------------------------


def test_a_wrong_order_closes_only_after_lists_with_two_elements(runs: Runs) -> None:
    book = "GET /markets/{ticker}/orderbook"
    place = "orderbook_fp.yes_dollars"
    wrong = difference("descends", endpoint=book, place=place, kind=Kind.PAGE_BROKEN)
    outcomes = [(book, CheckOutcome.CHECKED)]
    levels = {
        count: Inventory(
            {
                place: Place(of=1, seen=1, types={"array": 1}),
                f"{place}[]": Place(of=count, seen=count, types={"array": 1}),
            }
        )
        for count in (1, 2)
    }
    runs.run(wrong, outcomes=outcomes, inventory=levels[2])
    for _ in range(3):
        runs.run(outcomes=outcomes, inventory=levels[1])
    assert runs.statuses() == ["open"]
    for _ in range(2):
        runs.run(outcomes=outcomes, inventory=levels[2])
    assert runs.statuses() == ["closed"]


def test_a_learned_difference_stays_open_until_it_is_gone(runs: Runs) -> None:
    # A key disappears, and the baseline learns to expect answers without the key. The finding must stay open until
    # the key is back.
    contract = CONTRACTS[MARKETS]

    def answer(*more: str) -> Inventory:
        places = {"markets": Place(of=1, seen=1, steady=1, types={"array": 1})}
        places |= {"markets[]": Place(of=30, seen=30, steady=30, types={"object": 30})}
        places |= {f"markets[].{name}": Place(30, 30, 30, types={"string": 30}) for name in ("ticker", *more)}
        return Inventory(places)

    for _ in range(12):
        runs.run(inventory=answer("a_new_key_to_go"))
    known = store.load(runs.engine, "prod")[MARKETS]
    (gone, *_) = compare(known, answer(), contract)
    assert gone.place == "markets[].a_new_key_to_go"
    runs.run(gone, inventory=answer())
    for _ in range(40):
        assert runs.run(inventory=answer()).closed == ()
    assert [len(runs.run(inventory=answer("a_new_key_to_go")).closed) for _ in range(2)] == [0, 1]
    assert len(runs.titles()) == 1


def test_baselines_are_learned_from_probes_of_each_environment(runs: Runs) -> None:
    for _ in range(2):
        runs.run(inventory=Inventory({}))
    runs.run(inventory=Inventory({}), source=RunSource.INGEST)
    runs.run(difference(kind=Kind.ABSURD), inventory=Inventory({}))
    runs.run(inventory=Inventory({}), outcomes=[(MARKETS, CheckOutcome.REFUSED)])
    assert {name: each.observations for name, each in store.load(runs.engine, "prod").items()} == {MARKETS: 3}
    assert store.load(runs.engine, "demo") == {}


def test_hostile_texts_of_a_vendor_are_stored(runs: Runs) -> None:
    text = "\x00\ud800\u202e\\u0000<!channel>'; DROP TABLE alerts; --" * 20
    place = Place(of=1, seen=1, values={text: 1})
    runs.run(difference(text, place=text), inventory=Inventory({f"markets[].{text}": place}))
    assert runs.statuses() == ["open"]
    assert store.load(runs.engine, "prod")[MARKETS].observations == 1
    (finding,) = store.open_findings(runs.engine, "prod")
    assert runs.run(difference(text, place=text)).news == ()
    assert len(finding.difference.after) <= 300
