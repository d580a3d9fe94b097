"""A whole session: what is in the inbox is decided, whatever else is in there."""

import datetime as dt
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.decisions import Outcome
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.journal.tables import attempts, proposals
from kalshi_pipelines.execution.proposals import propose
from kalshi_pipelines.execution.session import Opening
from kalshi_pipelines.execution.told import proposal_row
from kalshi_pipelines.execution.trading_run import Desk, trade
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.execution.floor import proposed, ready_journal, trading_floor

#: Rows the database takes of a login that may only insert, and no order can be made of.
IMPOSSIBLE: list[dict[str, Any]] = [
    {"ticker": "no ticker; at all"},
    {"as_of_us": 10**18, "valid_until_us": 10**18 + 1},
    {"time_in_force": "good_till_canceled", "expires_us": 10**18},
]


def test_F39_rows_that_are_no_orders_are_denied_once_and_keep_nobody_s_order_from_its_decision(
    journal_engine: sa.Engine, tmp_path: Path
) -> None:
    journal = ready_journal(journal_engine)
    with trading_floor(tmp_path) as floor:
        now = dt.datetime.now(dt.UTC)
        good = proposed(floor.tradable(), as_of=now, valid_until=now + dt.timedelta(minutes=5))
        (number,) = propose(journal_engine, [good], "a test")
        with journal_engine.execution_options(kalshi_writes=True).begin() as connection:
            row = dict(connection.execute(sa.select(proposals)).mappings().one())
            del row["proposal_id"]
            for wrong in IMPOSSIBLE:
                connection.execute(sa.insert(proposals).values({**row, **wrong}))
            connection.execute(sa.insert(proposals).values({**row, "signal": "the last"}))
        with journal.reading() as reading:
            shown = [proposal_row(each) for each in reading.pending_proposals(Mode.DRY_RUN, 0)]
        said: list[str] = []
        settings = Settings(data_dir=tmp_path)
        desk = Desk(settings, TradeSettings(), journal, journal_engine, floor.client, said.append)
        run = trade(desk, Opening("ann", Origin.BY_HAND))
        again = trade(desk, Opening("ann", Origin.BY_HAND))
    assert len(shown) == len(IMPOSSIBLE) + 2
    assert [each.outcome for each in run.decisions] == [Outcome.SIMULATED] * 2
    assert again.decisions == ()
    assert sum("invalid_proposal" in line for line in said) == len(IMPOSSIBLE)
    with journal_engine.connect() as connection:
        denials = connection.execute(sa.select(attempts.c.proposal_id, attempts.c.denial)).all()
    assert [denial for proposal, denial in denials if proposal != number].count("invalid_proposal") == len(IMPOSSIBLE)
