"""Test that one session leaves the same audit log, byte for byte, in any database, time zone, locale and hash seed."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kalshi_pipelines.execution.audit.verification import verify
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines_tests.support.execution.golden import GOLDEN, audit_of_a_session


def test_audit_log_of_a_session_is_the_same_in_every_database_and_locale(
    postgres_journal_url: str, migrated_journal_file: Path, tmp_path: Path
) -> None:
    logs = [audit_of_a_session(postgres_journal_url).encode()]
    for number, (seed, zone, language) in enumerate((("0", "UTC", "C"), ("4242", "Asia/Kathmandu", "tr_TR.UTF-8"))):
        path = tmp_path / f"{number}.db"
        shutil.copy(migrated_journal_file, path)
        finished = subprocess.run(
            [sys.executable, "-m", "kalshi_pipelines_tests.support.execution.golden", f"sqlite:///{path}"],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": language},
            capture_output=True,
            check=True,
            timeout=120,
        )
        logs.append(finished.stdout)
        engine = open_journal(f"sqlite:///{path}")
        report = verify(engine)
        engine.dispose()
        assert report.ok, str(report)
    assert len(logs[0].splitlines()) > 30
    assert logs[0] == logs[1] == logs[2]
    assert hashlib.sha256(logs[0]).hexdigest() == GOLDEN
