"""Contract runs: send probes to every vendor, check the answers, record the findings.

Belongs here: the choice of the exchange, and the order of the steps. Does not belong here: the schedule (``health``),
the probes (``probing``), checking an answer (``comparison``), and the states of findings (``findings``).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison import openapi_document
from kalshi_pipelines.contracts.comparison.baseline import Baseline
from kalshi_pipelines.contracts.comparison.body_decoding import DecodedBody
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult, check
from kalshi_pipelines.contracts.comparison.cross_checks import cross_check
from kalshi_pipelines.contracts.comparison.statuses import in_maintenance
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.reachability import best_outcome
from kalshi_pipelines.contracts.findings.recording import EndpointResult, RecordedRun
from kalshi_pipelines.contracts.language.differences import Difference, Severity
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing import other_vendor_probes
from kalshi_pipelines.contracts.probing.exchange_probes import REFUSED_ANONYMOUSLY, AnsweredBodies, plan_probes
from kalshi_pipelines.contracts.probing.probe_client import (
    ProbeClient,
    ProbeFailure,
    ProbeTimeUsedUp,
    path_of,
    plain_client,
)
from kalshi_pipelines.contracts.probing.trailing_slash import WITH_SLASH, slash_differences
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.kalshi.rate_budget import RateBudget, documented_rates
from kalshi_pipelines.kalshi.signing import Signer
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import explain_failures
from kalshi_pipelines.warehouse.migrations import require_head

RUN_SECONDS: Final = 300.0
_WITHOUT_KEY: Final = frozenset(probe.name for probe in REFUSED_ANONYMOUSLY)

Progress = Callable[[str], object]


@dataclass(frozen=True)
class SkippedProbe:
    """A probe that was not sent, with the reason."""

    name: str
    endpoint: str
    why: str


@dataclass(frozen=True)
class ContractReport:
    """The report of one contract run.

    Attributes:
        environment: The environment of the exchange that was probed.
        recorded: The findings of the run.
        outcomes: The best outcome of each endpoint. Probes that must be refused for lack of a key do not count.
        skipped: Probes that were not sent.
        requests: The number of requests sent.
        spent_microdollars: The cost of the run in micro-dollars.
        responses: The answers as received.
    """

    environment: Environment
    recorded: RecordedRun
    outcomes: dict[str, CheckOutcome]
    skipped: tuple[SkippedProbe, ...]
    requests: int
    spent_microdollars: int
    responses: tuple[Response, ...] = field(default=(), repr=False)

    @property
    def is_broken(self) -> bool:
        """Whether a breaking finding is open after the run."""
        return bool(self.recorded.count(Severity.BREAKING))

    @property
    def is_answered(self) -> bool:
        """Whether at least one answer could be checked."""
        return any(outcome in {CheckOutcome.CHECKED, CheckOutcome.EMPTY} for outcome in self.outcomes.values())

    @property
    def is_maintenance(self) -> bool:
        """Whether at least one endpoint was in maintenance."""
        return CheckOutcome.MAINTENANCE in self.outcomes.values()

    def __str__(self) -> str:
        counts = ", ".join(f"{self.recorded.count(severity)} {severity.value}" for severity in Severity)
        return (
            f"{len(self.outcomes)} endpoints of {self.environment.value} probed with {self.requests} requests, "
            f"{len(self.skipped)} probes skipped; open findings: {counts}"
        )


@dataclass
class _Run:
    """The state of a run in progress: its answers and results so far."""

    client: ProbeClient
    progress: Progress
    seen: AnsweredBodies
    baselines: dict[str, Baseline] = field(default_factory=dict)
    results: list[EndpointResult] = field(default_factory=list)
    of_endpoints: dict[str, list[CheckOutcome]] = field(default_factory=dict)
    more: list[Difference] = field(default_factory=list)
    skipped: list[SkippedProbe] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    decoded: list[tuple[Response, DecodedBody]] = field(default_factory=list)
    is_down: bool = False
    spent_microdollars: int = 0

    def skip(self, name: str, endpoint: str, why: str) -> None:
        self.progress(f"skipped {name}: {why}")
        self.skipped.append(SkippedProbe(name, endpoint, why))

    def check_answer(self, name: str, answer: Response | ProbeFailure) -> None:
        """Check one answer. No answer, however wrong, stops the other probes."""
        endpoint = answer.request.endpoint
        if isinstance(answer, ProbeFailure):
            is_maintenance = self.is_exchange(endpoint) and (self.is_down or in_maintenance(self.client.clock()))
            outcome = CheckOutcome.MAINTENANCE if is_maintenance else CheckOutcome.UNREACHABLE
            self.progress(f"{outcome.value} {name}: {answer.reason}")
            self._result(name, endpoint, CheckResult(outcome, (), None))
            return
        self.responses.append(answer)
        checked = check(answer, self.baselines.get(endpoint))
        self._result(name, endpoint, checked)
        if checked.differences:
            self.progress(f"{len(checked.differences)} differences: {name}")
        if answer.status == 200 and checked.body is not None:
            self._remember(name, answer, checked.body)

    def _result(self, name: str, endpoint: str, checked: CheckResult) -> None:
        self.results.append(EndpointResult(endpoint, checked))
        if name not in _WITHOUT_KEY:
            self.of_endpoints.setdefault(endpoint, []).append(checked.outcome)

    @staticmethod
    def is_exchange(endpoint: str) -> bool:
        return endpoint.split(" ", 1)[1].startswith("/")

    def _remember(self, name: str, answer: Response, body: DecodedBody) -> None:
        self.decoded.append((answer, body))
        if body.absurdity:
            return
        self.seen.bodies[name] = body.value
        if name == "GET /exchange/status" and isinstance(body.value, dict):
            self.is_down = body.value.get("exchange_active") is False


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
    """Do one contract run: send the probes, check the answers, record the findings.

    Args:
        settings: The exchange, key and budgets. Without ``run_live_api`` a sandbox replaces the real exchange.
        engine: A warehouse at its newest migration.
        progress: Receives sentences about the progress.
        sandbox_url: The address of a running sandbox. Without it, the settings name one, or the run starts one.
        clock: Returns the present instant in microseconds since 1970 UTC.
        dagster_run_id: The Dagster run that this run belongs to.
        seconds: The time limit of the run. Probes that were not sent within the limit are skipped.

    Raises:
        SchemaNotAtHead: The warehouse must be upgraded first.
        KalshiError: The key or an address cannot be used.
    """
    with explain_failures(engine), ExitStack() as stack:
        environment, run, roots = stack.enter_context(_probing(settings, engine, progress, sandbox_url, clock, seconds))
        run_id = store.begin_run(engine, environment.value, RunSource.PROBES, clock(), dagster_run_id)
        try:
            run.baselines.update(store.load(engine, environment.value))
            _probe_exchange(run, roots)
            _probe_other_vendors(run, settings, engine)
            run.more += cross_check(run.decoded)
            recorded = store.record(engine, run_id, run.results, clock(), run.more)
        except BaseException as error:
            store.fail_run(engine, run_id, f"{type(error).__name__}: {error}", clock())
            raise
        outcomes = {endpoint: best_outcome(every) for endpoint, every in run.of_endpoints.items()}
        return ContractReport(
            environment,
            recorded,
            outcomes,
            tuple(run.skipped),
            run.client.requests,
            run.spent_microdollars,
            tuple(run.responses),
        )


@dataclass(frozen=True)
class ExchangeAnswers:
    """Answers of the exchange for use as test fixtures. No baseline, finding or alert depends on these answers."""

    environment: Environment
    responses: tuple[Response, ...]
    skipped: tuple[SkippedProbe, ...]


def fetch_exchange_answers(
    settings: Settings,
    engine: sa.Engine,
    progress: Progress = print,
    *,
    sandbox_url: str | None = None,
    clock: Callable[[], int] = now_us,
    seconds: float = RUN_SECONDS,
) -> ExchangeAnswers:
    """Send the probes of a contract run to the exchange, and return the answers without recording anything.

    The rate budget in the warehouse is charged. Other vendors get no probe. Arguments and exceptions are those of
    :func:`run_contract_checks`.
    """
    with explain_failures(engine), _probing(settings, engine, progress, sandbox_url, clock, seconds) as probing:
        environment, run, roots = probing
        _probe_exchange(run, roots)
        return ExchangeAnswers(environment, tuple(run.responses), tuple(run.skipped))


@contextmanager
def _probing(
    settings: Settings,
    engine: sa.Engine,
    progress: Progress,
    sandbox_url: str | None,
    clock: Callable[[], int],
    seconds: float,
) -> Iterator[tuple[Environment, _Run, tuple[str, ...]]]:
    require_head(engine)
    environment = environment_to_check(settings)
    if environment is not settings.environment:
        progress(f"{other_vendor_probes.NOT_LIVE}: a sandbox is probed instead of {settings.environment.value}")
    signer = _signer(settings, clock)
    with (
        _roots(settings, environment, sandbox_url) as roots,
        plain_client(trust_proxies=environment is not Environment.SANDBOX) as http,
    ):
        key = signer.fingerprint if signer else "anonymous"
        budget = RateBudget(engine, f"{environment.value}:{key}", documented_rates(settings.rate_tier))
        client = ProbeClient(http, environment.value, time.monotonic() + seconds, clock, budget, signer)
        yield environment, _Run(client, progress, AnsweredBodies(clock())), roots


def environment_to_check(settings: Settings) -> Environment:
    """Return the environment to probe: the configured environment, or the sandbox if ``run_live_api`` is off."""
    return settings.environment if settings.run_live_api else Environment.SANDBOX


@contextmanager
def _roots(settings: Settings, environment: Environment, sandbox_url: str | None) -> Iterator[tuple[str, ...]]:
    """Yield the root addresses of the exchange's API.

    The planned probes go to the first address. Each further address gets one request, for the status of the exchange.
    """
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


def _probe_exchange(run: _Run, roots: tuple[str, ...]) -> None:
    for probe, why_not in plan_probes(run.client.environment, has_key=run.client.signer is not None):
        request = None if why_not else probe.make_request(run.seen)
        if request is None:
            run.skip(probe.name, probe.endpoint, why_not or f"there is no {probe.needs.removeprefix('a ')}")
            continue
        try:
            run.check_answer(probe.name, run.client.send(request, roots[0]))
        except ProbeTimeUsedUp as error:
            run.skip(probe.name, probe.endpoint, str(error))
    status = VendorRequest("GET /exchange/status")
    for root in roots[1:]:
        name = f"GET /exchange/status at {urlsplit(root).hostname}"
        try:
            run.check_answer(name, run.client.send(status, root))
        except ProbeTimeUsedUp as error:
            run.skip(name, status.endpoint, str(error))
    _probe_trailing_slash(run, roots[0])


def _probe_trailing_slash(run: _Run, root: str) -> None:
    name = "trailing slash"
    try:
        answer = run.client.send(WITH_SLASH, root, path=f"{path_of(WITH_SLASH)}/")
    except ProbeTimeUsedUp as error:
        return run.skip(name, WITH_SLASH.endpoint, str(error))
    if isinstance(answer, ProbeFailure):
        run.progress(f"no answer {name}: {answer.reason}")
        return None
    if answer.status == 200:
        run.check_answer(name, answer)
    run.more += slash_differences(answer)
    return None


def _probe_other_vendors(run: _Run, settings: Settings, engine: sa.Engine) -> None:
    probes: tuple[tuple[str, str, Callable[[], other_vendor_probes.ProbeResult | str]], ...] = (
        (
            "OpenAPI document",
            openapi_document.ENDPOINT,
            lambda: other_vendor_probes.probe_openapi_document(engine, run.client),
        ),
        ("changelog feed", other_vendor_probes.CHANGELOG, lambda: other_vendor_probes.probe_changelog(run.client)),
        (
            "search at Exa",
            other_vendor_probes.SEARCH,
            lambda: other_vendor_probes.probe_search(engine, run.client, settings),
        ),
    )
    # The rate budget belongs to the exchange, so requests to other vendors are not charged to it.
    run.client.budget = None
    why_not = other_vendor_probes.vendor_skip_reasons(settings)
    for name, endpoint, probe in probes:
        if endpoint in why_not:
            run.skip(name, endpoint, why_not[endpoint])
            continue
        try:
            found = probe()
        except ProbeTimeUsedUp as error:
            found = str(error)
        if isinstance(found, str):
            run.skip(name, endpoint, found)
            continue
        run.check_answer(name, found.answer)
        run.more += found.differences
        run.spent_microdollars += found.spent_microdollars
