"""The environment variables, warehouse and journal of an operator who trades on a sandbox."""

from pathlib import Path

import pytest

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.journal import initialise
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember
from kalshi_pipelines_tests.support.migrated import upgrade_to_head


def prepare_trading(member: SandboxMember, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of an operator who has not armed a session, and create the warehouse and the journal."""
    for name, value in {
        "SANDBOX_URL": member.sandbox.url,
        "DATA_DIR": str(folder / "data"),
        "TRADE_MODE": "live",
        "TRADE_API_KEY_ID": member.key_id,
        "TRADE_PRIVATE_KEY_FILE": str(member.key_file),
        "TRADE_URL": member.sandbox.url,
        "TRADE_SERIES": "*",
    }.items():
        monkeypatch.setenv(f"KALSHI_{name}", value)
    create_databases(member.sandbox.url)


def create_databases(sandbox_url: str) -> str:
    """Create the warehouse and the journal, check the sandbox's API, and return the report of the check."""
    settings = Settings.from_environment()
    settings.environment_dir.mkdir(parents=True)
    warehouse, journal = open_engine(settings.resolved_warehouse_url), open_journal(journal_url(settings))
    upgrade_to_head(warehouse)
    upgrade_journal(journal)
    initialise(journal, settings.environment)
    report = run_contract_checks(settings, warehouse, lambda line: None, sandbox_url=sandbox_url)
    warehouse.dispose()
    journal.dispose()
    return str(report)
