"""From every reachable state a documented procedure leads back to trading, in random orders of incidents."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from kalshi_pipelines_tests.support.execution.incident_machine import ComingBack


@pytest.fixture(autouse=True)
def _template(migrated_journal_file: Path) -> None:
    ComingBack.template = migrated_journal_file


@pytest.mark.timeout(900)
def test_F76_documented_procedure_leads_back_to_trading_from_every_state() -> None:
    run_state_machine_as_test(
        ComingBack,
        settings=settings(
            max_examples=50,
            stateful_step_count=15,
            phases=(Phase.generate,),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
