"""A contract run: ask every vendor, check what it answers, record what that means.

Belongs here: which exchange is asked, in which order things happen, when the next run is due. Does not belong here: the
questions (``probes``, ``other_probes``), what is drift (``checking``), and what becomes of findings (``store``).
"""

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from kalshi_pipelines.contracts import openapi_document, other_probes, store
from kalshi_pipelines.contracts.asking import Asker, NoAnswer, OutOfTime, plain_client
from kalshi_pipelines.contracts.baseline import Baseline
from kalshi_pipelines.contracts.checking import Checked, Outcome, check, check_together
from kalshi_pipelines.contracts.differences import Difference, Kind, Severity
from kalshi_pipelines.contracts.life_cycle import Source
from kalshi_pipelines.contracts.probes import Seen, plan
from kalshi_pipelines.contracts.reading import AbsurdBody, decoded
from kalshi_pipelines.contracts.recording import EndpointResult, Recorded
from kalshi_pipelines.contracts.responses import Asked, Response
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.rate_budget import RateBudget, documented_laws
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import MICROSECONDS_PER_SECOND, now_us
from kalshi_pipelines.warehouse.engine import explained_failures
from kalshi_pipelines.warehouse.migrations import require_head
from kalshi_pipelines.warehouse.tables import contract_runs

RUN_SECONDS: Final = 300.0
_NOT_LIVE: Final = "KALSHI_RUN_LIVE_API is not set, and this is on the network"
_MINUTE_US: Final = 60 * MICROSECONDS_PER_SECOND
_HOUR_US: Final = 60 * _MINUTE_US
#: Runs begin at least so often, less up to the jitter, so that six hours hold with a slow daemon.
EVERY_US: Final = 5 * _HOUR_US + 30 * _MINUTE_US
JITTER_US: Final = 45 * _MINUTE_US
FIRST_BACK_OFF_US: Final = 10 * _MINUTE_US
#: A run that has not ended after so long is taken for dead.
_DEAD_AFTER_US: Final = _HOUR_US

_NEW_YORK: Final = ZoneInfo("America/New_York")
_THURSDAY: Final = 3

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Skipped:
    """A probe that was not sent, and why."""

    name: str
    endpoint: str
    why: str


@dataclass(frozen=True)
class ContractReport:
    """What a run did.

    Attributes:
        environment: The exchange that was asked.
        recorded: What became of findings.
        outcomes: What came of each endpoint.
        skipped: Probes that were not sent.
        requests: How many were sent.
        spent_microdollars: What they cost.
        responses: The answers, for ``record``.
    """

    environment: Environment
    recorded: Recorded
    outcomes: dict[str, Outcome]
    skipped: tuple[Skipped, ...]
    requests: int
    spent_microdollars: int
    responses: tuple[Response, ...] = field(default=(), repr=False)

    @property
    def is_broken(self) -> bool:
        """Whether a breaking finding is open."""
        return bool(self.recorded.count(Severity.BREAKING))

    @property
    def is_answered(self) -> bool:
        """Whether anything could be checked."""
        return any(outcome in {Outcome.CHECKED, Outcome.EMPTY} for outcome in self.outcomes.values())

    @property
    def is_maintenance(self) -> bool:
        """Whether the exchange is closed for maintenance and said nothing else."""
        return Outcome.MAINTENANCE in self.outcomes.values()

    def __str__(self) -> str:
        counts = ", ".join(f"{self.recorded.count(severity)} {severity.value}" for severity in Severity)
        return (
            f"{len(self.outcomes)} endpoints of {self.environment.value} asked with {self.requests} requests, "
            f"{len(self.skipped)} probes skipped; open findings: {counts}"
        )


@dataclass
class _Run:
    """The answers and results of a run under way."""

    asker: Asker
    baselines: dict[str, Baseline]
    progress: Progress
    seen: Seen
    results: list[EndpointResult] = field(default_factory=list)
    more: list[Difference] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    is_down: bool = False
    spent_microdollars: int = 0

    def skip(self, name: str, endpoint: str, why: str) -> None:
        self.progress(f"skipped {name}: {why}")
        self.skipped.append(Skipped(name, endpoint, why))

    def take(self, name: str, answer: Response | NoAnswer) -> None:
        """Check one answer; whatever is wrong with it, the other probes go on."""
        endpoint = answer.asked.endpoint
        if isinstance(answer, NoAnswer):
            is_maintenance = self.is_exchange(endpoint) and (self.is_down or in_maintenance(self.asker.clock()))
            outcome = Outcome.MAINTENANCE if is_maintenance else Outcome.UNREACHABLE
            self.progress(f"{outcome.value} {name}: {answer.reason}")
            self.results.append(EndpointResult(endpoint, Checked(outcome, (), None)))
            return
        self.responses.append(answer)
        checked = check(answer, self.baselines.get(endpoint))
        self.results.append(EndpointResult(endpoint, checked))
        if checked.differences:
            self.progress(f"{len(checked.differences)} differences: {name}")
        if answer.status == 200:
            self._remember(name, answer)

    @staticmethod
    def is_exchange(endpoint: str) -> bool:
        return endpoint.split(" ", 1)[1].startswith("/")

    def _remember(self, name: str, answer: Response) -> None:
        try:
            body = decoded(answer.body)
        except AbsurdBody:
            return
        self.seen.bodies[name] = body
        if name == "GET /exchange/status" and isinstance(body, dict):
            self.is_down = body.get("exchange_active") is False


def run_contract_checks(
    settings: Settings,
    engine: sa.Engine,
    progress: Progress = print,
    *,
    sandbox_url: str | None = None,
    clock: Callable[[], int] = now_us,
    dagster_run_id: str | None = None,
    seconds: float = RUN_SECONDS,
) -> ContractReport:
    """Ask, check and record once.

    Args:
        settings: Which exchange, key and budgets. Without ``run_live_api`` a sandbox is asked instead of a real one.
        engine: A warehouse at head.
        progress: Gets sentences of progress.
        sandbox_url: A running sandbox; without it that of the settings, or one started for the run.
        clock: Tells the time of answers, rules and findings.
        dagster_run_id: The Dagster run this belongs to.
        seconds: How long it may take; probes that were not sent by then are skipped.

    Raises:
        SchemaNotAtHead: The warehouse has to be migrated first.
        KalshiError: The key or an address can not be used.
    """
    with explained_failures(engine), ExitStack() as stack:
        require_head(engine)
        environment = asked_environment(settings)
        if environment is not settings.environment:
            progress(f"{_NOT_LIVE}: a sandbox is asked instead of {settings.environment.value}")
        signer = _signer(settings, clock)
        roots = stack.enter_context(_roots(settings, environment, sandbox_url))
        run_id = store.begin_run(engine, environment.value, Source.PROBES, clock(), dagster_run_id)
        try:
            http = stack.enter_context(plain_client(trust_proxies=environment is not Environment.SANDBOX))
            key = signer.fingerprint if signer else "anonymous"
            budget = RateBudget(engine, f"{environment.value}:{key}", documented_laws(settings.rate_tier))
            asker = Asker(http, environment.value, time.monotonic() + seconds, clock, budget, signer)
            run = _Run(asker, dict(store.load(engine, environment.value)), progress, Seen(clock()))
            _ask_exchange(run, roots)
            _ask_others(run, settings, engine)
            run.more += check_together(run.responses)
            recorded = store.record(engine, run_id, run.results, clock(), run.more)
        except BaseException as error:
            store.fail_run(engine, run_id, f"{type(error).__name__}: {error}", clock())
            raise
        outcomes = {result.endpoint: result.checked.outcome for result in reversed(run.results)}
        return ContractReport(
            environment, recorded, outcomes, tuple(run.skipped), asker.requests, run.spent_microdollars,
            tuple(run.responses),
        )  # fmt: skip


def asked_environment(settings: Settings) -> Environment:
    """The exchange contract checks ask: the configured one, or a sandbox if it may not be asked."""
    return settings.environment if settings.run_live_api else Environment.SANDBOX


def in_maintenance(at_us: int) -> bool:
    """Whether an instant is in the exchange's weekly maintenance, Thursday 03:00 to 05:00 New York time."""
    there = dt.datetime.fromtimestamp(at_us // MICROSECONDS_PER_SECOND, _NEW_YORK)
    return there.weekday() == _THURSDAY and 3 <= there.hour < 5


@dataclass(frozen=True)
class Due:
    """Whether a run is due.

    Attributes:
        key: The same for the same run; ``None`` if none is due.
        why: One sentence.
    """

    key: str | None
    why: str


def due(engine: sa.Engine, environment: Environment, now_us: int) -> Due:
    """Whether a run of probes is due: five to six hours after the last, sooner after a failed one, at once if none was.

    Follows from the warehouse and the time alone, so that nothing is forgotten while no daemon runs.
    """
    runs = contract_runs.c
    with engine.connect() as connection:
        last = connection.execute(
            sa.select(runs.contract_run_id, runs.status, runs.started_us)
            .where(runs.environment == environment.value, runs.source == Source.PROBES.value)
            .order_by(runs.contract_run_id.desc())
            .limit(8)
        ).all()
    # A request that was lost is made again in the next hour: run keys are remembered for ever.
    hour = now_us // _HOUR_US
    if not last:
        return Due(f"contracts:{environment.value}:0:{hour}", "no contract run yet")
    newest = last[0]
    if newest.status == "running" and now_us - newest.started_us < _DEAD_AFTER_US:
        return Due(None, f"contract run {newest.contract_run_id} is running")
    failures = next((number for number, run in enumerate(last) if run.status == "succeeded"), len(last))
    wait = _wait_us(newest.contract_run_id, failures)
    at = newest.started_us + wait
    if now_us < at:
        return Due(None, f"the next contract run is due in {(at - now_us) // _MINUTE_US} minutes")
    key = f"contracts:{environment.value}:{newest.contract_run_id}:{hour}"
    return Due(key, f"{(now_us - newest.started_us) // _MINUTE_US} minutes since the last contract run began")


def _wait_us(run_id: int, failures: int) -> int:
    # Derived, not drawn: the same run has the same jitter for every daemon.
    draw = int.from_bytes(hashlib.sha256(str(run_id).encode()).digest()[:4], "big")
    jitter = draw * JITTER_US // 2**32
    if failures:
        return min(FIRST_BACK_OFF_US << (failures - 1), EVERY_US - JITTER_US) + jitter // 10
    return EVERY_US - jitter


@contextmanager
def _roots(settings: Settings, environment: Environment, sandbox_url: str | None) -> Iterator[tuple[str, ...]]:
    """The addresses of the API: the one everything is asked at, and others of the same exchange."""
    if environment is not Environment.SANDBOX:
        yield hosts.base_urls(environment)
        return
    with ExitStack() as stack:
        url = sandbox_url or settings.sandbox_url
        if url is None:
            keys: dict[str, Path] = {}
            if settings.api_key_id and settings.private_key_file:
                keys[settings.api_key_id] = settings.private_key_file
            options = SandboxOptions(markets=settings.sandbox_markets, seed=settings.sandbox_seed, keys=keys)
            url = stack.enter_context(running_sandbox(options)).url
        yield (hosts.base_url(environment, url),)


def _signer(settings: Settings, clock: Callable[[], int]) -> Signer | None:
    if not settings.api_key_id or not settings.private_key_file:
        return None
    signer = Signer.from_file(settings.api_key_id, settings.private_key_file)
    if clock is not now_us:
        signer.follow_clock(clock() // 1000)
    return signer


def _ask_exchange(run: _Run, roots: tuple[str, ...]) -> None:
    for probe, why_not in plan(run.asker.environment, has_key=run.asker.signer is not None):
        asked = None if why_not else probe.ask(run.seen)
        if asked is None:
            run.skip(probe.name, probe.endpoint, why_not or f"there is no {probe.needs.removeprefix('a ')}")
            continue
        try:
            run.take(probe.name, run.asker.ask(asked, roots[0]))
        except OutOfTime as error:
            run.skip(probe.name, probe.endpoint, str(error))
    status = Asked("GET /exchange/status")
    for root in roots[1:]:
        name = f"GET /exchange/status at {urlsplit(root).hostname}"
        try:
            run.take(name, run.asker.ask(status, root))
        except OutOfTime as error:
            run.skip(name, status.endpoint, str(error))
    _ask_with_slash(run, roots[0])


def _ask_with_slash(run: _Run, root: str) -> None:
    """A slash too many may be refused or redirected, but never to a stranger."""
    name, asked = "trailing slash", Asked("GET /exchange/status", expects=(200, 301, 302, 307, 308, 404))
    try:
        answer = run.asker.ask(asked, root, path="/exchange/status/")
    except OutOfTime as error:
        return run.skip(name, asked.endpoint, str(error))
    if isinstance(answer, NoAnswer):
        return None
    there = urlsplit(answer.headers.get("location", "")).hostname
    if there and there != urlsplit(root).hostname:
        run.more.append(
            Difference(
                asked.endpoint,
                "location",
                Kind.REDIRECTED,
                Severity.RISKY,
                "the same host",
                there,
                advice="Find out whose host it is: no request is sent there, redirects are not followed.",
            )
        )
    return None


def _ask_others(run: _Run, settings: Settings, engine: sa.Engine) -> None:
    probes: tuple[tuple[str, str, Callable[[], other_probes.Told | str]], ...] = (
        ("OpenAPI document", openapi_document.ENDPOINT, lambda: other_probes.document(engine, run.asker)),
        ("changelog feed", other_probes.CHANGELOG, lambda: other_probes.changelog(run.asker)),
        ("search at Exa", other_probes.SEARCH, lambda: other_probes.search(engine, run.asker, settings)),
    )
    # Only the exchange's own requests are charged to its budget.
    run.asker.budget = None
    for name, endpoint, probe in probes:
        if not settings.run_live_api:
            run.skip(name, endpoint, _NOT_LIVE)
            continue
        try:
            told = probe()
        except OutOfTime as error:
            told = str(error)
        if isinstance(told, str):
            run.skip(name, endpoint, told)
            continue
        run.take(name, told.answer)
        run.more += told.differences
        run.spent_microdollars += told.spent_microdollars
