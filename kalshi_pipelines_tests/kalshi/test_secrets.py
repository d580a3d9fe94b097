import gc
import logging
import traceback
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse.tables import rate_budgets
from kalshi_pipelines_tests.support.kalshi.keys import pem_of
from kalshi_pipelines_tests.support.kalshi.transports import Connect

KEY_ID = "5ec4e7aa-0000-4000-8000-00000000beef"


def chain(error: BaseException) -> list[BaseException]:
    linked = [error]
    while following := linked[-1].__cause__ or linked[-1].__context__:
        linked.append(following)
    return linked


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, content=b"<html>"),
        httpx.Response(401, json={"error": {"code": "authentication_error", "details": "NOT_FOUND"}}),
        httpx.Response(200, content=b"{"),
        httpx.Response(307, headers={"Location": "https://elsewhere.example/"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
    ids=repr,
)
def test_no_key_or_signature_reaches_messages_reprs_or_logs(
    connect: Connect,
    private_key: PrivateKey,
    tmp_path: Path,
    answer: httpx.Response | Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(private_key))
    signatures: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        signatures.append(request.headers["KALSHI-ACCESS-SIGNATURE"])
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    signer = Signer.from_file(KEY_ID, file)
    transport = connect(respond, signer=signer)
    client = KalshiClient(transport)
    with caplog.at_level(logging.DEBUG), pytest.raises(KalshiError) as caught:
        list(client.market_pages())
    errors = chain(caught.value)
    shown = "".join(
        [
            *map(repr, [signer, transport, client, *errors]),
            *map(str, errors),
            *(repr(vars(error)) for error in errors),
            "".join(traceback.format_exception(caught.value)),
            *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records),
        ]
    )
    secrets = [line for line in file.read_text().splitlines() if "---" not in line] + signatures + [KEY_ID]
    assert signatures
    assert not [secret for secret in secrets if secret in shown]
    assert not [error for error in errors if isinstance(error, httpx.HTTPError)]


@pytest.mark.whole_suite  # the client opens a socket, and fast tests may not open sockets
def test_debug_logging_of_a_real_connection_shows_no_header(
    sqlite_engine: sa.Engine, private_key: PrivateKey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(private_key))
    settings = Settings(
        environment=Environment.SANDBOX, sandbox_url="http://127.0.0.1:1", api_key_id=KEY_ID, private_key_file=file
    )
    client = KalshiClient.from_settings(settings, sqlite_engine)
    with caplog.at_level(logging.DEBUG), pytest.raises(KalshiError):
        client.exchange_status()
    client.close()
    assert "KALSHI-ACCESS" not in caplog.text.upper()
    assert KEY_ID not in caplog.text


@pytest.mark.whole_suite  # the client opens a socket, and fast tests may not open sockets
def test_the_budget_in_the_database_is_named_by_a_fingerprint(
    sqlite_engine: sa.Engine, private_key: PrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(private_key))
    settings = Settings(
        environment=Environment.SANDBOX, sandbox_url="http://127.0.0.1:1", api_key_id=KEY_ID, private_key_file=file
    )
    client = KalshiClient.from_settings(settings, sqlite_engine)
    with pytest.raises(KalshiError):
        client.exchange_status()
    client.close()
    gc.collect()
    with sqlite_engine.connect() as connection:
        (row,) = connection.execute(rate_budgets.select()).all()
    assert row.budget_key.startswith("sandbox:SHA256:")
    assert KEY_ID not in row.budget_key
