"""Tests of the anchor file: several processes may write the file, a full disk does no harm, and damage is reported."""

import fcntl
import os
import resource
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.verification import AuditVerdict, verify
from kalshi_pipelines.execution.journal.anchoring import ANCHOR_EVERY
from kalshi_pipelines.execution.journal.anchors import Anchor, AnchorFile, AnchorsUnreadable
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Fill, ForeignOrder
from kalshi_pipelines.execution.journal.tables import anchors
from kalshi_pipelines.execution.orders.evidence import ExchangeOrder, OrderStatus
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT, EVENT, TICKER, order_steps


def test_anchor_file_holds_anchors_of_several_journals(tmp_path: Path) -> None:
    file = AnchorFile(tmp_path / "deep" / "deeper" / "anchors.jsonl")
    mine, other = Anchor("mine", 1, "a" * 64, 5), Anchor("other", 2, "b" * 64, 6)
    assert file.anchors("mine") == []
    for anchor in (mine, other, mine):
        file.append(anchor)
    assert (file.anchors("mine"), file.anchors("other")) == ([mine, mine], [other])
    with file.path.open("a") as torn:
        torn.write('{"at_us":7')
    assert file.anchors("mine") == [mine, mine]
    file.append(mine)
    assert file.anchors("mine") == [mine, mine, mine]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_anchor_is_flushed_to_the_disk_when_it_is_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, done = AnchorFile(tmp_path / "anchors.jsonl"), list[tuple[str, int, str]]()
    for name, really in (("fsync", os.fsync), ("close", os.close)):

        def spy(descriptor: int, name: str = name, really: Callable[[int], None] = really) -> None:
            done.append((name, descriptor, file.path.read_text()))
            really(descriptor)

        monkeypatch.setattr(os, name, spy)
    file.append(Anchor("mine", 1, "a" * 64, 5))
    monkeypatch.undo()
    (flushed, descriptor, text), (_, reader, _), (closed, same, _) = done
    assert reader != descriptor, "the anchor is read back through another descriptor"
    assert (flushed, closed, same, text) == ("fsync", "close", descriptor, file.path.read_text())


def test_anchor_file_that_cannot_be_read_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnchorsUnreadable, match="cannot be read"):
        AnchorFile(tmp_path).anchors("mine")
    (tmp_path / "anchors.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(AnchorsUnreadable, match="cannot be read"):
        AnchorFile(tmp_path / "anchors.jsonl").anchors("mine")


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "{}",
        '{"at_us":1,"database_id":"x","hash":1,"seq":1}',
        '{"at_us":1,"database_id":"x","hash":"1","seq":"1"}',
        '{"at_us":1,"database_id":"x","hash":"1","seq":true}',
        "[]",
        "",
    ],
)
def test_line_that_is_not_an_anchor_is_named_in_the_error(tmp_path: Path, line: str) -> None:
    file = AnchorFile(tmp_path / "anchors.jsonl")
    file.append(Anchor("mine", 1, "a" * 64, 5))
    with file.path.open("a") as other:
        other.write(f"{line}\n")
    with pytest.raises(AnchorsUnreadable, match="Line 2"):
        file.anchors("mine")


def test_newest_record_is_anchored_after_a_fixed_number_of_records(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    steps = order_steps(sqlite_journal, anchor_file=tmp_path / "anchors.jsonl")
    for _ in range(2 * ANCHOR_EVERY):
        with steps.journal.writing() as transaction:
            seq = transaction.audit.append("note", {})
    noted = AnchorFile(tmp_path / "anchors.jsonl").anchors(steps.journal.database_id)
    released = 2
    assert [anchor.seq for anchor in noted] == [released, *range(ANCHOR_EVERY, seq + 1, ANCHOR_EVERY)]
    assert verify(sqlite_journal, tmp_path / "anchors.jsonl").ok


def test_disk_full_within_an_anchor_leaves_the_other_anchors_readable(tmp_path: Path) -> None:
    file, mine = AnchorFile(tmp_path / "anchors.jsonl"), Anchor("mine", 100, "a" * 64, 1)
    file.append(mine)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.path.stat().st_size + 20, hard))
    try:
        with pytest.raises(OSError, match="No space"):
            file.append(mine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append(mine)
    assert file.anchors("mine") == [mine, mine]


def test_anchor_waits_until_another_process_has_written_its_anchor(tmp_path: Path) -> None:
    file, mine, other = AnchorFile(tmp_path / "anchors.jsonl"), Anchor("mine", 1, "a" * 64, 5), Anchor("m", 2, "b", 6)
    file.append(mine)
    line = file.path.read_bytes()
    with file.path.open("ab", buffering=0) as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        writing.write(line[:20])
        waiting = threading.Thread(target=file.append, args=[other])
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        writing.write(line[20:])
    waiting.join(30)
    assert file.anchors("mine") == [mine, mine]
    assert file.anchors("m") == [other]


def test_F43_lock_that_is_never_released_does_not_stop_a_kill_switch_engagement(
    sqlite_journal: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.execution.journal.anchors.MOST_LOCK_SECONDS", 0.05)
    steps = order_steps(sqlite_journal, anchor_file=tmp_path / "anchors.jsonl")
    before = AnchorFile(tmp_path / "anchors.jsonl").anchors(steps.journal.database_id)

    def engage() -> None:
        with steps.journal.writing() as transaction:
            transaction.halts.engage(2, "operator", "bob", "stop")

    with (tmp_path / "anchors.jsonl").open("ab") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        engaging = threading.Thread(target=engage, daemon=True)
        engaging.start()
        engaging.join(30)
        assert not engaging.is_alive()
        with pytest.raises(OSError, match="another process has kept the file locked"):
            steps.journal.anchor()
    with steps.journal.reading() as reading:
        assert reading.halts.kill_state().engaged
    assert AnchorFile(tmp_path / "anchors.jsonl").anchors(steps.journal.database_id) == before
    steps.journal.anchor()


def test_anchor_that_cannot_be_written_loses_no_order(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    steps = order_steps(sqlite_journal, anchor_file=tmp_path / "file" / "anchors.jsonl")
    for _ in range(ANCHOR_EVERY):
        with steps.journal.writing() as transaction:
            transaction.audit.append("note", {})
    assert verify(sqlite_journal).records > ANCHOR_EVERY
    with pytest.raises(OSError, match=r"directory|exists"):
        steps.journal.anchor()


def test_anchor_stored_elsewhere_is_recorded_with_its_place(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    def stored_anchors() -> list[tuple[int, str]]:
        with sqlite_journal.connect() as connection:
            found = connection.execute(
                sa.select(anchors.c.seq, anchors.c.place).order_by(anchors.c.place, anchors.c.seq)
            )
            return [(row[0], row[1]) for row in found]

    steps = order_steps(sqlite_journal, anchor_file=tmp_path / "anchors.jsonl")
    file = AnchorFile(tmp_path / "anchors.jsonl")
    before = file.anchors(steps.journal.database_id)
    made = steps.journal.anchor("notary")
    assert file.anchors(steps.journal.database_id) == before, "the caller stores the anchor elsewhere"
    for _ in range(2):
        assert steps.journal.anchor() == made
    released = before[0].seq
    assert stored_anchors() == [(released, "file"), (made.seq, "file"), (made.seq, "notary")]
    assert file.anchors(steps.journal.database_id) == [*before, made, made]
    Journal(sqlite_journal, "sandbox", clock_us=steps.clock).anchor()
    assert stored_anchors() == [
        (released, "file"),
        (made.seq, "file"),
        (made.seq, "journal"),
        (made.seq, "notary"),
    ]


def test_verification_that_cannot_read_the_anchors_reports_it(tmp_path: Path, sqlite_journal: sa.Engine) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1_000)
    for path in ("broken.db", "empty.db"):
        engine = open_journal(f"sqlite:///{tmp_path / path}")
        assert verify(engine).verdict is AuditVerdict.COULD_NOT_RUN
        engine.dispose()
    order_steps(sqlite_journal)
    (tmp_path / "anchors.jsonl").write_text("nonsense\n")
    assert verify(sqlite_journal, tmp_path / "anchors.jsonl").verdict is AuditVerdict.COULD_NOT_RUN


def test_order_at_the_exchange_without_a_sending_record_is_reported(sqlite_journal: sa.Engine) -> None:
    steps = order_steps(sqlite_journal)
    sent = steps.record_sent()
    reserved = steps.reserve()
    ours = _order("order-0001", sent.client_order_id)
    canceled_by_hand = _order("order-0002", "", status=OrderStatus.CANCELED)
    assert verify(sqlite_journal, exchange_orders=[ours, canceled_by_hand]).ok
    for wrong, problem in (
        (_order("order-0003", "kx1-of-another-journal"), "was sent by this program, but not with this journal"),
        (_order("order-0003", reserved.client_order_id, status=OrderStatus.CANCELED), "never recorded as sent"),
        (_order("order-0003", sent.client_order_id), "both belong to intent"),
    ):
        report = verify(sqlite_journal, exchange_orders=[canceled_by_hand, ours, wrong])
        assert report.verdict is AuditVerdict.CORRUPT
        assert problem in str(report)
    for elsewhere, explanation in (
        (_order("order-0003", ""), "nor recorded: not acknowledged yet"),
        (_order("order-0003", "of another program", status=OrderStatus.EXECUTED), "nor recorded: not acknowledged yet"),
        (_order("order-0001", sent.client_order_id, price_centicents=5_100), "changed elsewhere"),
    ):
        report = verify(sqlite_journal, exchange_orders=[canceled_by_hand, elsewhere])
        assert report.verdict is AuditVerdict.EXPLAINED
        assert explanation in str(report)
    with steps.journal.writing() as transaction:
        seen = ForeignOrder("order-0003", TICKER, Side.BID, 5_000, 1_000, "by hand")
        transaction.foreign_orders.record(ACCOUNT, seen, EVENT)
        fill = Fill("f-4", "order-0004", TICKER, Side.BID, 5_000, 100, 0, steps.clock())
        transaction.fills.record_foreign(ACCOUNT, fill, EVENT)
    known = _order("order-0003", ""), _order("order-0004", "", status=OrderStatus.EXECUTED)
    assert verify(sqlite_journal, exchange_orders=[ours, *known]).ok


def _order(order_id: str, client_order_id: str, **changes: Any) -> ExchangeOrder:
    done = changes.get("status") is OrderStatus.EXECUTED
    values: dict[str, Any] = {
        "ticker": TICKER,
        "side": Side.BID,
        "price_centicents": 5_000,
        "count_centicontracts": 1_000,
        "filled_centicontracts": 1_000 if done else 0,
        "remaining_centicontracts": 0 if done else 1_000,
        "status": OrderStatus.RESTING,
        "order_group_id": None,
        "updated_us": 1,
        **changes,
    }
    return ExchangeOrder(order_id, client_order_id, **values)
