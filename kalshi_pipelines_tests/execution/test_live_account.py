"""A trade key is three settings; without one of them there is no account to open."""

from pathlib import Path
from typing import Any

import pytest

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.live_account import has_trade_key, live_transport
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.settings import InvalidSettings, Settings

WHOLE: dict[str, Any] = {"api_key_id": "a key", "private_key_file": Path("nowhere.pem"), "url": "http://127.0.0.1:1"}


def test_a_whole_trade_key_is_taken_and_its_file_opened() -> None:
    assert has_trade_key(TradeSettings(**WHOLE))
    with pytest.raises(KalshiError, match=r"nowhere\.pem"):
        live_transport(Settings(), TradeSettings(**WHOLE))


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_without_one_of_its_settings_there_is_no_trade_key(missing: str) -> None:
    settings = TradeSettings(**{**WHOLE, missing: None})
    assert not has_trade_key(settings)
    with pytest.raises(InvalidSettings, match="This needs the trade key"):
        live_transport(Settings(), settings)


def test_with_nothing_set_there_is_no_trade_key() -> None:
    assert not has_trade_key(TradeSettings())
