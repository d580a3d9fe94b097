"""A signal always gives the same order, with the same id and the same request text."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.idempotency import client_order_id, former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer, Signal
from kalshi_pipelines.execution.orders.request import request_sha256
from kalshi_pipelines.execution.orders.terms import (
    Contracts,
    TimeInForce,
    YesPrice,
)
from kalshi_pipelines_tests.support.execution.requests import REQUEST

ANN = Proposer(ActorKind.PERSON, "ann")
SIGNAL = Signal("calibration", "3", "2026-11-22", "KXA above 0.60")

texts = st.text(max_size=20)
signals = st.builds(
    Signal,
    strategy=texts,
    strategy_version=texts,
    partition=texts,
    signal=texts,
    leg=texts,
    attempt=st.integers(1, 9),
)


@given(signals, signals)
def test_F15_different_signals_never_have_the_same_key(first: Signal, second: Signal) -> None:
    same = idempotency_key(Account("demo", 0), ANN, first) == idempotency_key(Account("demo", 0), ANN, second)
    assert same == (first == second)


@given(texts, texts)
def test_F15_text_moved_between_parts_of_a_signal_changes_the_key(one: str, other: str) -> None:
    moved = replace(SIGNAL, strategy=one + other, strategy_version="")
    assert idempotency_key(Account("demo", 0), ANN, moved) != idempotency_key(
        Account("demo", 0), ANN, replace(moved, strategy=one, strategy_version=other + "|")
    )


def test_F15_signal_has_the_same_id_in_every_process() -> None:
    program = (
        "from kalshi_pipelines.execution.orders.account import Account\n"
        "from kalshi_pipelines.execution.orders.idempotency import *\n"
        "from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer, Signal\n"
        f"print(client_order_id(idempotency_key(Account('demo', 0), Proposer(ActorKind.PERSON, 'ann'), {SIGNAL!r})))"
    )
    body = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert body == {str(client_order_id(idempotency_key(Account("demo", 0), ANN, SIGNAL)))}


def test_client_order_id_has_a_format_the_exchange_accepts() -> None:
    made = client_order_id(idempotency_key(Account("prod", 63), ANN, SIGNAL))
    assert re.fullmatch(r"kx1-[a-z2-7]{32}", str(made))


@pytest.mark.parametrize(
    "changed",
    [
        {"strategy": "other"},
        {"strategy_version": "4"},
        {"partition": "2026-11-23"},
        {"signal": "KXB"},
        {"leg": "2"},
        {"attempt": 2},
    ],
)
def test_every_part_of_signal_and_account_changes_the_key(changed: dict[str, Any]) -> None:
    assert idempotency_key(Account("demo", 0), ANN, replace(SIGNAL, **changed)) != idempotency_key(
        Account("demo", 0), ANN, SIGNAL
    )
    assert idempotency_key(Account("prod", 0), ANN, SIGNAL) != idempotency_key(Account("demo", 0), ANN, SIGNAL)
    assert idempotency_key(Account("demo", 1), ANN, SIGNAL) != idempotency_key(Account("demo", 0), ANN, SIGNAL)


@pytest.mark.parametrize("other", [Proposer(ActorKind.AGENT, "ann"), Proposer(ActorKind.PERSON, "bob")])
def test_proposer_is_part_of_the_key(other: Proposer) -> None:
    assert idempotency_key(Account("demo", 0), other, SIGNAL) != idempotency_key(Account("demo", 0), ANN, SIGNAL)


def test_former_key_is_the_key_that_old_journals_hold() -> None:
    assert former_idempotency_key(Account("demo", 0), SIGNAL) == (
        "293789ddea4744af1aa9704660dc59f5de134979510bc29314090e294abe44a0"
    )


def test_request_body_has_the_fields_of_the_exchange() -> None:
    assert json.loads(REQUEST.json) == {
        "cancel_order_on_pause": True,
        "client_order_id": "kx1-abcdefgh",
        "count": "10.50",
        "exchange_index": 2,
        "expiration_time": 1_795_400_000,
        "order_group_id": "5a1e3f00-group",
        "post_only": True,
        "price": "0.5600",
        "self_trade_prevention_type": "taker_at_cross",
        "side": "bid",
        "subaccount": 3,
        "ticker": "KXMLB-26NOV22-TOR",
        "time_in_force": "good_till_canceled",
    }


def test_request_without_options_leaves_them_out() -> None:
    plain = replace(
        REQUEST, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL, expires_us=None, post_only=False, reduce_only=True
    )
    body = json.loads(plain.json)
    assert body["reduce_only"] is True
    assert not {"expiration_time", "post_only"} & body.keys()


def test_request_digest_is_of_the_exact_bytes() -> None:
    assert request_sha256(REQUEST.json) != request_sha256(replace(REQUEST, price=YesPrice(5_601)).json)
    assert len(request_sha256(REQUEST.json)) == 64


def test_request_body_leaves_out_missing_terms() -> None:
    body = json.loads(
        replace(
            REQUEST,
            order_group_id=None,
            post_only=False,
            time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
            expires_us=None,
        ).json
    )
    assert not {"order_group_id", "post_only", "expiration_time", "reduce_only"} & set(body)


@given(st.integers(1, 10**8), st.integers(1, 9_999))
def test_request_body_has_exact_count_and_price(count: int, price: int) -> None:
    body = json.loads(replace(REQUEST, count=Contracts(count), price=YesPrice(price)).json)
    assert Decimal(body["count"]) * 100 == count
    assert Decimal(body["price"]) * 10_000 == price
