import pytest

from kalshi_pipelines.kalshi.errors import EnvironmentMismatch
from kalshi_pipelines.kalshi.hosts import base_url
from kalshi_pipelines.settings import Environment

SANDBOX, DEMO, PROD = Environment.SANDBOX, Environment.DEMO, Environment.PROD


@pytest.mark.parametrize(
    ("environment", "given", "expected"),
    [
        (PROD, None, "https://external-api.kalshi.com/trade-api/v2"),
        (DEMO, None, "https://external-api.demo.kalshi.co/trade-api/v2"),
        (PROD, "https://api.elections.kalshi.com/trade-api/v2", "https://api.elections.kalshi.com/trade-api/v2"),
        (DEMO, "https://demo-api.kalshi.co", "https://demo-api.kalshi.co/trade-api/v2"),
        (SANDBOX, "http://127.0.0.1:8790", "http://127.0.0.1:8790/trade-api/v2"),
        (SANDBOX, "http://localhost:8790/trade-api/v2/", "http://localhost:8790/trade-api/v2"),
        (SANDBOX, "http://[::1]:8790", "http://[::1]:8790/trade-api/v2"),
    ],
)
def test_addresses_of_an_environment_are_accepted(environment: Environment, given: str | None, expected: str) -> None:
    assert base_url(environment, given) == expected


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        (PROD, "https://external-api.demo.kalshi.co/trade-api/v2"),
        (DEMO, "https://external-api.kalshi.com/trade-api/v2"),
        (DEMO, "https://external-api.demo.kalshi.com/trade-api/v2"),
        (PROD, "http://external-api.kalshi.com/trade-api/v2"),
        (PROD, "https://external-api.kalshi.com:444/trade-api/v2"),
        (PROD, "https://user:hunter2@external-api.kalshi.com/trade-api/v2"),
        (PROD, "https://external-api.kalshi.com.evil.example/trade-api/v2"),
        (PROD, "https://external-api.kalshi.com/trade-api/v3"),
        (PROD, "https://external-api.kalshi.com/trade-api/v2?x=1"),
        (PROD, "not an address"),
        (PROD, "https://[broken"),
        (PROD, "http://127.0.0.1:8790"),
        (SANDBOX, "https://external-api.kalshi.com/trade-api/v2"),
        (SANDBOX, "http://192.168.0.7:8790"),
        (SANDBOX, "http://127.0.0.1.evil.example"),
        (SANDBOX, "http://127.0.0.1:notaport"),
        (SANDBOX, None),
    ],
)
def test_any_other_address_is_refused_with_a_remedy(environment: Environment, given: str | None) -> None:
    with pytest.raises(EnvironmentMismatch) as caught:
        base_url(environment, given)
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)
