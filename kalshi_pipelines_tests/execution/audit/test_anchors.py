"""Anchors are kept as they were made, whoever else writes to the file, and a file that is none is not believed."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.audit.anchors import Anchor, AnchorFile, AnchorsUnreadable
from kalshi_pipelines.execution.audit.verification import ExchangeOrder, Verdict, verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import ANCHOR_EVERY
from kalshi_pipelines_tests.execution.journal.trading import TICKER, desk_at


def test_anchors_of_several_journals_share_a_file(tmp_path: Path) -> None:
    file = AnchorFile(tmp_path / "deep" / "anchors.jsonl")
    mine, other = Anchor("mine", 1, "a" * 64, 5), Anchor("other", 2, "b" * 64, 6)
    assert file.anchors("mine") == []
    for anchor in (mine, other, mine):
        file.append(anchor)
    assert (file.anchors("mine"), file.anchors("other")) == ([mine, mine], [other])
    with file.path.open("a") as torn:
        torn.write('{"at_us":7')
    assert file.anchors("mine") == [mine, mine]


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"at_us":1,"database_id":"x","hash":1,"seq":"1"}', "[]", ""])
def test_a_line_that_is_no_anchor_is_told(tmp_path: Path, line: str) -> None:
    file = AnchorFile(tmp_path / "anchors.jsonl")
    file.append(Anchor("mine", 1, "a" * 64, 5))
    with file.path.open("a") as other:
        other.write(f"{line}\n")
    with pytest.raises(AnchorsUnreadable, match="line 2"):
        file.anchors("mine")


def test_the_head_is_noted_every_so_many_records(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    desk = desk_at(sqlite_journal, anchor_file=tmp_path / "anchors.jsonl")
    for _ in range(2 * ANCHOR_EVERY):
        with desk.journal.writing() as transaction:
            seq = transaction.audit("note", {})
    noted = AnchorFile(tmp_path / "anchors.jsonl").anchors(desk.journal.database_id)
    assert [anchor.seq for anchor in noted] == list(range(ANCHOR_EVERY, seq + 1, ANCHOR_EVERY))
    assert verify(sqlite_journal, tmp_path / "anchors.jsonl").ok


def test_an_anchor_that_can_not_be_written_loses_no_order(sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    desk = desk_at(sqlite_journal, anchor_file=tmp_path / "file" / "anchors.jsonl")
    for _ in range(ANCHOR_EVERY):
        with desk.journal.writing() as transaction:
            transaction.audit("note", {})
    assert verify(sqlite_journal).records > ANCHOR_EVERY
    with pytest.raises(OSError, match=r"directory|exists"):
        desk.journal.anchor()


def test_a_verification_that_can_not_look_says_so(tmp_path: Path, sqlite_journal: sa.Engine) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1_000)
    for path in ("broken.db", "empty.db"):
        engine = open_journal(f"sqlite:///{tmp_path / path}")
        assert verify(engine).verdict is Verdict.COULD_NOT_RUN
        engine.dispose()
    desk_at(sqlite_journal)
    (tmp_path / "anchors.jsonl").write_text("nonsense\n")
    assert verify(sqlite_journal, tmp_path / "anchors.jsonl").verdict is Verdict.COULD_NOT_RUN


def test_every_order_of_the_exchange_is_one_that_was_to_be_sent(sqlite_journal: sa.Engine) -> None:
    desk = desk_at(sqlite_journal)
    sent = desk.sent()
    reserved = desk.reserved()
    ours = ExchangeOrder("order-0001", sent.client_order_id, TICKER, "bid", 5_000, 1_000)
    assert verify(sqlite_journal, exchange_orders=[ours]).ok
    for wrong, problem in (
        (ExchangeOrder("order-0001", None, TICKER, "bid", 5_000, 1_000), "never to be sent"),
        (ExchangeOrder("order-0001", reserved.client_order_id, TICKER, "bid", 5_000, 1_000), "never to be sent"),
        (ExchangeOrder("order-0001", sent.client_order_id, TICKER, "ask", 5_000, 1_000), "other terms"),
        (ExchangeOrder("order-0002", sent.client_order_id, TICKER, "bid", 5_000, 1_000), "of one intent"),
    ):
        report = verify(sqlite_journal, exchange_orders=[ours, wrong])
        assert report.verdict is Verdict.CORRUPT
        assert problem in str(report)
