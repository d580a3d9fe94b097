"""Settings are read from environment variables and documented. A value that cannot be used is refused by name."""

from pathlib import Path

import pytest

from kalshi_pipelines.settings import Environment, InvalidSettings, Settings
from kalshi_pipelines_tests.support.checkout import DOCS

DOCUMENTATION = DOCS / "configuration.md"


def test_sandbox_is_used_if_nothing_is_set() -> None:
    settings = Settings.from_environment()
    assert settings.environment is Environment.SANDBOX
    assert settings.resolved_warehouse_url == "sqlite:///data/sandbox/warehouse.db"
    assert settings.resolved_lake_dir == Path("data/sandbox/lake")


def test_each_environment_has_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    assert Settings.from_environment().resolved_warehouse_url == "sqlite:///data/prod/warehouse.db"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("KALSHI_ENVIRONMENT", "production", "'sandbox', 'demo' or 'prod'"),
        ("KALSHI_SANDBOX_MARKETS", "many", "write a whole number in plain digits"),
        ("KALSHI_RATE_TIER", "free", "'basic'"),
        ("KALSHI_EXECUTOR", "dask", "'in_process' or 'multiprocess'"),
        ("KALSHI_API_KEY_ID", "abc", "Set both"),
        ("KALSHI_PRIVATE_KEY_FILE", "key.pem", "Set both"),
        ("KALSHI_DATA_DIR", "~nobody-of-this-name/data", "Write the full path"),
    ],
)
def test_value_that_cannot_be_used_is_named_with_the_accepted_values(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSettings, match=sentence) as caught:
        Settings.from_environment()
    assert variable in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "")
    assert Settings.from_environment().environment is Environment.SANDBOX


def test_every_setting_is_documented_with_its_default() -> None:
    text = DOCUMENTATION.read_text()
    for name, setting in Settings.model_fields.items():
        variable = setting.validation_alias or f"KALSHI_{name.upper()}"
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{variable}` |")]
        assert str(setting.description) in line
        default = setting.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert (f"| `{shown}` |" in line) or default is None
