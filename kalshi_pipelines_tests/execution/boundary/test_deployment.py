"""Tests that the compose file gives each process only its own key, login and network."""

from typing import Any

import pytest
import yaml

from kalshi_pipelines_tests.support.checkout import CHECKOUT

DEPLOY = CHECKOUT / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def test_F39_trade_key_is_given_to_one_process_only(services: dict[str, dict[str, Any]]) -> None:
    with_trade_key = [name for name, each in services.items() if "trade_key" in each.get("secrets", ())]
    with_trade_settings = [name for name, each in services.items() if "KALSHI_TRADE" in str(each.get("environment"))]
    assert with_trade_key == with_trade_settings == ["executor"]
    assert services["agent"]["secrets"] == ["read_key"]


def test_F39_executor_accepts_no_connections_and_shares_no_folder(services: dict[str, dict[str, Any]]) -> None:
    executor, agent = services["executor"], services["agent"]
    assert "ports" not in executor
    others = [volume for name, each in services.items() if name != "executor" for volume in each.get("volumes", ())]
    assert not {each.split(":")[0] for each in executor["volumes"]} & {each.split(":")[0] for each in others}
    assert set(executor["networks"]) & set(agent["networks"]) == {"inside"}
    assert len({str(each.get("env_file")) for each in services.values()}) == len(services)


def test_every_own_process_runs_without_privileges(services: dict[str, dict[str, Any]]) -> None:
    for name in ("pipelines", "agent", "executor"):
        service = services[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0"), name


def test_executor_is_not_started_with_the_other_services(services: dict[str, dict[str, Any]]) -> None:
    assert services["executor"]["profiles"] == ["trade"]
    assert [name for name, each in services.items() if "profiles" in each] == ["executor"]


def test_repository_holds_no_key_or_password() -> None:
    ignored = (DEPLOY / ".gitignore").read_text().split()
    assert {"*.env", "secrets/"} <= set(ignored)
    assert "PASSWORD:" not in (DEPLOY / "compose.yaml").read_text()


def test_key_files_are_mounted_for_the_user_of_the_process() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    user = yaml.safe_load(text)["x-locked-down"]["user"]
    assert f"chown {user} secrets/*.pem" in text
    assert "chmod 400 secrets/*.pem" in text
