import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.sandbox.process import SandboxDidNotStart, SandboxProcess, running_sandbox
from kalshi_pipelines.sandbox.state_file import CatalogueOrigin, StateFile, UnusableStateFile, read_truth
from kalshi_pipelines.sandbox.trading.events import MemberJoined, MoneyMoved, OrderAccepted
from kalshi_pipelines_tests.support.sandbox.local_sandbox import NOON_US
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

ORIGIN = CatalogueOrigin(seed=7, markets=20, combos=2, anchor_us=0, tick_seconds=60)
JOINED = MemberJoined(at_us=1, member="ann", balance_step=100)
TINY = SandboxOptions(markets=40, combos=2, tier="unlimited", warm=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.jsonl"


def _exchange(file: Path, **options: object) -> Exchange:
    asked = replace(TINY, state=file, **options)  # type: ignore[arg-type]
    return exchange_of(asked, ExchangeClock(ManualClock(NOON_US)))


def _filled(file: Path) -> bytes:
    exchange = _exchange(file)
    exchange.venue.engine.recorder.emit(JOINED)
    exchange.log.flush()
    exchange.venue.engine.accounts.deposit("ann", 0, 1, 500, at_us=2)
    exchange.close()
    return file.read_bytes()


def test_an_exchange_goes_on_where_its_file_ends(file: Path) -> None:
    before = _filled(file)
    exchange = _exchange(file)
    assert exchange.venue.state.cash["ann", 0, 1] == 500
    exchange.venue.engine.accounts.deposit("ann", 0, 1, 1, at_us=3)
    exchange.close()
    assert file.read_bytes().startswith(before)
    assert [type(event) for event in read_truth(file)] == [MemberJoined, MoneyMoved, MoneyMoved]


def test_the_anchor_is_taken_from_the_file_and_so_is_the_catalogue(file: Path) -> None:
    exchange = _exchange(file)
    tickers = sorted(exchange.catalogue.markets)
    exchange.close()
    three_days_later = ExchangeClock(ManualClock(NOON_US + 3 * 86_400_000_000))
    later = exchange_of(replace(TINY, state=file), three_days_later)
    assert sorted(later.catalogue.markets) == tickers
    later.close()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("seed", 8, "seed is 7 in the file and 8 in the options"),
        ("markets", 41, "markets is 40 in the file"),
        ("combos", 3, "combos is 2 in the file"),
        ("tick_seconds", 0, "tick_seconds is 60 in the file"),
        ("anchor_us", 0, "anchor_us is"),
    ],
)
def test_other_options_than_those_of_the_file_are_refused_by_name(
    file: Path, option: str, value: int, named: str
) -> None:
    before = _filled(file)
    with pytest.raises(UnusableStateFile, match=named):
        _exchange(file, **{option: value})
    assert file.read_bytes() == before


def test_options_that_change_nothing_about_the_catalogue_may_change(file: Path) -> None:
    _filled(file)
    _exchange(file, tier="basic", read_lag_ms=5, balance=1).close()


def test_a_torn_last_line_is_cut_off_with_a_warning(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = _filled(file)
    for cut in range(1, len(whole.splitlines()[-2]) + len(whole.splitlines()[-1]) + 2):
        file.write_bytes(whole[:-cut])
        exchange = _exchange(file)
        assert "torn" in caplog.text
        caplog.clear()
        assert exchange.venue.state.cash["ann", 0, 1] == 0
        exchange.venue.engine.accounts.deposit("ann", 0, 1, 500, at_us=2)
        exchange.close()
        assert file.read_bytes() == whole


def test_a_header_torn_at_creation_is_rewritten(file: Path) -> None:
    whole = _filled(file)
    for cut in (1, 5, 40):
        file.write_bytes(whole[:cut])
        _exchange(file).close()
        assert file.read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])


def test_lines_written_together_return_together_or_not_at_all(file: Path) -> None:
    exchange = _exchange(file)
    exchange.venue.engine.recorder.emit(JOINED)
    exchange.log.flush()
    before = len(file.read_bytes())
    for amount in (1, 2, 3):
        exchange.venue.engine.accounts.deposit("ann", 0, 1, amount, at_us=2)
    exchange.close()
    whole = file.read_bytes()
    for cut in range(before, len(whole)):
        file.write_bytes(whole[:cut])
        assert read_truth(file) == [JOINED]
        exchange = _exchange(file)
        assert exchange.venue.state.cash["ann", 0, 1] == 0
        exchange.close()


def test_one_changed_bit_anywhere_is_noticed(file: Path) -> None:
    content = _filled(file)
    # Leave out the last byte. If it changes, the last line looks incomplete, as after a kill, and the file is accepted.
    for place in range(len(content) - 1):
        for bit in range(8):
            changed = bytes([*content[:place], content[place] ^ 1 << bit, *content[place + 1 :]])
            file.write_bytes(changed)
            with pytest.raises(UnusableStateFile):
                StateFile.open_path(file).close()
            assert file.read_bytes() == changed


def _change_line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def damaged(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        lines[number - 1] = change(lines[number - 1])
        return b"".join(lines)

    return damaged


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        (1, _change_line(1, lambda line: b"{}\n")),
        (1, _change_line(1, lambda line: b"\n")),
        (3, _change_line(3, lambda line: b"")),
        (3, _change_line(3, lambda line: b"\0" * len(line) + b"\n")),
        (5, _change_line(5, lambda line: line[:-10] + b"\n")),
        (5, _change_line(5, lambda line: line.replace(b'"sequence":2', b'"sequence":4'))),
        (6, _change_line(5, lambda line: line.replace(b"500", b"900"))),
        (4, _change_line(3, lambda line: line * 2)),
    ],
)
def test_any_other_damage_is_refused_with_its_line_and_the_file_is_left_alone(
    file: Path, line: int, damage: Callable[[bytes], bytes]
) -> None:
    content = damage(_filled(file))
    file.write_bytes(content)
    with pytest.raises(UnusableStateFile, match=rf"damaged in line {line}\b"):
        _exchange(file)
    assert file.read_bytes() == content


def test_an_event_that_cannot_follow_is_refused(file: Path) -> None:
    with StateFile.open_path(file) as state:
        state.begin(ORIGIN)
        state.write(b'{"sequence":1,"event":"OrderRested","at_us":2,"order_id":"x"}\n')
    with (
        StateFile.open_path(file) as state,
        pytest.raises(UnusableStateFile, match="damaged in event 1: OrderRested does not fit"),
    ):
        state.replay_events()


def test_a_file_that_is_something_else_is_left_alone(file: Path) -> None:
    for content in (b"precious notes", b"precious\nnotes\n", b"precious\nnotes"):
        file.write_bytes(content)
        with pytest.raises(UnusableStateFile, match="not a state file"):
            _exchange(file)
        assert file.read_bytes() == content


def test_a_format_of_the_future_is_refused(file: Path) -> None:
    file.write_bytes(_filled(file).replace(b'"format":2', b'"format":3'))
    with pytest.raises(UnusableStateFile, match="has format 3"):
        _exchange(file)


def test_a_file_in_use_is_refused_and_free_again_afterwards(file: Path) -> None:
    exchange = _exchange(file)
    with pytest.raises(UnusableStateFile, match="in use by another sandbox"):
        _exchange(file)
    exchange.close()
    _exchange(file).close()


def test_a_folder_and_recordings_are_refused_as_state(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UnusableStateFile, match="cannot be opened"):
        _exchange(tmp_path)
    with pytest.raises(UnusableStateFile, match="no state to keep"):
        _exchange(file, recordings=tmp_path)


def test_a_write_that_fails_leaves_no_part_of_a_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StateFile.open_path(file) as state:
        state.begin(ORIGIN)
        before = file.read_bytes()
        real = os.pwrite
        answers = iter([lambda *given: real(given[0], bytes(given[1][:3]), given[2])])

        def disk_that_fills(*given: object) -> int:
            try:
                return next(answers)(*given)
            except StopIteration:
                raise OSError(28, "No space left on device") from None

        monkeypatch.setattr(os, "pwrite", disk_that_fills)
        with pytest.raises(OSError, match="No space"):
            state.write(b"a whole line\n")
        assert file.read_bytes() == before
        monkeypatch.undo()
        state.write(b"a whole line\n")
    assert file.read_bytes().startswith(before + b"a whole line\n")


def _api(sandbox: SandboxProcess, signer: RequestSigner) -> httpx.Client:
    return httpx.Client(base_url=sandbox.url, auth=signer)


def _seen(sandbox: SandboxProcess, signer: RequestSigner) -> dict[str, object]:
    """Return the part of the exchange's state that a member and an operator can see."""
    with _api(sandbox, signer) as api:
        reads = {
            path: api.get(path).raise_for_status().json()
            for path in ("/portfolio/orders", "/portfolio/fills", "/portfolio/positions", "/portfolio/order_groups")
        }
    members = httpx.get(f"{sandbox.admin_url}/sandbox/members").json()["members"]
    return {**reads, "members": members}


def test_a_killed_exchange_comes_back_as_it_was(file: Path) -> None:
    signer = RequestSigner("mine")
    options = replace(TINY, state=file, crowd=False)
    with running_sandbox(options) as sandbox:
        key = {"key_id": "mine", "public_key_pem": signer.public_pem}
        httpx.post(f"{sandbox.admin_url}/sandbox/keys", json=key).raise_for_status()
        httpx.post(f"{sandbox.admin_url}/sandbox/clock", json={"seconds": 600}).raise_for_status()
        signer.now_ms = lambda real=signer.now_ms: real() + 600_000  # type: ignore[misc]
        market = httpx.get(f"{sandbox.url}/markets?status=open&mve_filter=exclude").json()["markets"][0]
        order = {
            "ticker": market["ticker"], "side": "bid", "count": "3.00", "price": "0.0100",
            "time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross",
        }  # fmt: skip
        other = {"side": "ask", "price": "0.01", "count": "2"}
        with _api(sandbox, signer) as api:
            for name in ("one", "two"):
                answer = api.post("/portfolio/events/orders", json={**order, "client_order_id": name})
                assert answer.status_code == 201, answer.text
            api.delete(
                f"/portfolio/events/orders/{answer.json()['order_id']}", params={"market_ticker": market["ticker"]}
            ).raise_for_status()
        httpx.post(f"{sandbox.admin_url}/sandbox/markets/{market['ticker']}/orders", json=other).raise_for_status()
        before = _seen(sandbox, signer)
        truth = httpx.get(f"{sandbox.admin_url}/sandbox/truth").json()["events"]
        os.kill(sandbox.pid, signal.SIGKILL)
    assert len(before["/portfolio/fills"]["fills"]) == 1  # type: ignore[index]
    with running_sandbox(options) as sandbox:
        assert httpx.get(f"{sandbox.admin_url}/sandbox/truth").json()["events"] == truth
        assert _seen(sandbox, signer) == before
        with _api(sandbox, signer) as api:
            again = api.post("/portfolio/events/orders", json={**order, "client_order_id": "two"})
            assert (again.status_code, again.json()["error"]["code"]) == (409, "order_already_exists")
            new = api.post("/portfolio/events/orders", json={**order, "client_order_id": "three"})
            assert new.status_code == 201
        assert new.json()["order_id"] not in str(before)


def test_a_kill_at_any_moment_loses_nothing_that_was_answered(file: Path) -> None:
    signer = RequestSigner("mine")
    options = replace(TINY, state=file, crowd=False)
    answered: list[str] = []

    def trade(api: httpx.Client, ticker: str) -> None:
        order = {
            "ticker": ticker, "side": "bid", "count": "1.00", "price": "0.0100",
            "time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross",
        }  # fmt: skip
        with contextlib.suppress(httpx.TransportError):
            while True:
                answer = api.post("/portfolio/events/orders", json={**order, "client_order_id": str(len(answered))})
                answered.append(answer.json()["order_id"])

    for _ in range(3):
        with running_sandbox(options) as sandbox:
            key = {"key_id": "mine", "public_key_pem": signer.public_pem}
            httpx.post(f"{sandbox.admin_url}/sandbox/keys", json=key).raise_for_status()
            ticker = httpx.get(f"{sandbox.url}/markets?status=open").json()["markets"][0]["ticker"]
            with _api(sandbox, signer) as api:
                trading = threading.Thread(target=trade, args=(api, ticker))
                before = len(answered)
                trading.start()
                while len(answered) < before + 20:
                    time.sleep(0.001)
                os.kill(sandbox.pid, signal.SIGKILL)
                trading.join()
        taken = [event.order_id for event in read_truth(file) if isinstance(event, OrderAccepted)]
        # The exchange may have accepted the last order without sending its response. Its client order id is then used,
        # so the next round uses new ids.
        assert taken[: len(answered)] == answered
        answered[:] = taken


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_full_disk_stops_answers_and_not_the_time(file: Path) -> None:
    with running_sandbox(replace(TINY, state=file, crowd=False)) as sandbox:
        members = f"{sandbox.admin_url}/sandbox/members"
        assert httpx.post(members, json={"member": "before"}).status_code == 201
        no_limit = resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, (file.stat().st_size, no_limit[1]))
        assert httpx.post(members, json={"member": "full"}).status_code == 500
        assert httpx.get(f"{sandbox.url}/exchange/status").status_code == 500
        time.sleep(0.2)
        resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, no_limit)
        # No more requests arrive that could write the log. The sandbox must write the events by itself as time passes.
        assert _until(
            lambda: any(isinstance(event, MemberJoined) and event.member == "full" for event in read_truth(file))
        )
        assert httpx.get(f"{sandbox.url}/exchange/status").status_code == 200


def test_two_processes_on_one_file_are_refused(file: Path) -> None:
    options = replace(TINY, state=file)
    with (
        running_sandbox(options),
        pytest.raises(SandboxDidNotStart, match="in use by another sandbox"),
        running_sandbox(options),
    ):
        pytest.fail("it started")
