"""Start options of a sandbox, and building the exchange from them.

Belongs here: the options, their meaning and their defaults. Does not belong here: reading a command line
(``__main__``), and starting a process (``process``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kalshi_pipelines.sandbox.access.memberships import keep_keys
from kalshi_pipelines.sandbox.access.rate_limits import PUBLISHED_COSTS, TIERS, BucketSize, RateLimits, Tier
from kalshi_pipelines.sandbox.access.signatures import KeyRing, public_pems_of_files
from kalshi_pipelines.sandbox.clock import ExchangeClock, PriceTime, midnight_us
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.markets.catalogue import GeneratedCatalogue
from kalshi_pipelines.sandbox.markets.generation import ARCHIVED_MARKETS, Generation
from kalshi_pipelines.sandbox.markets.recorded_catalogue import RecordedCatalogue
from kalshi_pipelines.sandbox.markets.recordings import Replay, recorded_files
from kalshi_pipelines.sandbox.markets.turnover import Turnover
from kalshi_pipelines.sandbox.markets.venue import Venue
from kalshi_pipelines.sandbox.news.provider import GeneratedNewsProvider
from kalshi_pipelines.sandbox.prices import MICRO
from kalshi_pipelines.sandbox.state_file import CatalogueOrigin, StateFile, UnusableStateFile
from kalshi_pipelines.sandbox.trading.engine import MatchingEngine
from kalshi_pipelines.sandbox.trading.log import TruthLog
from kalshi_pipelines.sandbox.trading.state import TradingState


@dataclass(frozen=True)
class SandboxOptions:
    """Start options of a sandbox exchange.

    Attributes:
        markets: Number of markets other than combos. Archived markets are added to this number.
        seed: Seed that the catalogue is generated from.
        combos: Number of combo markets.
        archived: Number of markets that settled before the historical cutoff. Their events stay in the list of events.
        turnover: Number of markets that are listed per day in addition, and that later open, close and settle. The
            value 0 lists none.
        tick_seconds: Seconds between two moves of the prices that move most often. The value 0 freezes all prices as
            they are at ``anchor_us``.
        anchor_us: Instant that the catalogue's dates are counted from, in microseconds since 1970. The default is the
            last UTC midnight.
        tier: Usage tier of every caller, or ``unlimited`` for no limit.
        read_refill_rate: Read tokens that a caller gets per second. The default is the rate of the usage tier.
        read_capacity: Largest number of read tokens that a caller can hold. The default is the capacity of the usage
            tier.
        endpoint_costs: Token costs by endpoint, such as ``GET /markets``. They replace or extend the published costs.
        recordings: Folder of recorded responses to serve instead of a generated catalogue.
        keys: PEM files of API keys, public or private, by key id. Only their public part is kept. The keys belong to
            the default member and have full scopes.
        balance: Dollars that a new member gets on each shard.
        read_lag_ms: Delay of portfolio reads in milliseconds.
        crowd: Whether simulated traders act in the markets that members trade.
        state: File that keeps the truth log (all trading events). A sandbox started later with this file continues from
            its last event.
        warm: Whether to write the JSON of every market before serving. This takes about 3 seconds for 100,000 markets.
            If False, the first read of all markets is slower.
        host: Address to listen on.
        port: Port to listen on, or 0 for any free port.
    """

    markets: int = 1_000
    seed: int = 7
    combos: int = 100
    archived: int = ARCHIVED_MARKETS
    turnover: int = 0
    tick_seconds: int = 60
    anchor_us: int | None = None
    tier: str = "basic"
    read_refill_rate: int | None = None
    read_capacity: int | None = None
    endpoint_costs: Mapping[str, int] = field(default_factory=dict)
    recordings: Path | None = None
    keys: Mapping[str, Path] = field(default_factory=dict)
    balance: int = 10_000
    read_lag_ms: int = 0
    crowd: bool = True
    state: Path | None = None
    warm: bool = True
    host: str = "127.0.0.1"
    port: int = 0

    def limits_tier(self) -> Tier:
        """Return the usage tier. Any read limit that these options give replaces the same read limit of the tier."""
        tier = TIERS[self.tier]
        read = BucketSize(
            tier.read.refill_rate if self.read_refill_rate is None else self.read_refill_rate,
            tier.read.capacity if self.read_capacity is None else self.read_capacity,
        )
        return replace(tier, read=read)


def exchange_of(options: SandboxOptions, clock: ExchangeClock | None = None) -> Exchange:
    """Build the exchange that these options describe. With a state file, the exchange continues where the file ends.

    Raises:
        UnusablePublicKey: A key file cannot be used.
        UnusableRecordings: The folder contains no recordings.
        UnusableStateFile: The state file is in use, damaged, or was written with other options.
    """
    pems = public_pems_of_files(options.keys)
    if options.state is None:
        return _exchange(options, clock or ExchangeClock(), pems, None)
    if options.recordings is not None:
        raise UnusableStateFile("Recorded responses have no state to keep.", "Leave out --state or --recordings.")
    if options.turnover:
        raise UnusableStateFile("Markets of a turnover are not in the state file.", "Leave out --state or --turnover.")
    state_file = StateFile.open_path(options.state)
    try:
        return _exchange(options, clock or ExchangeClock(), pems, state_file)
    except BaseException:
        state_file.close()
        raise


def _exchange(
    options: SandboxOptions, clock: ExchangeClock, pems: Mapping[str, str], state_file: StateFile | None
) -> Exchange:
    anchor_us = options.anchor_us
    if anchor_us is None and state_file is not None and state_file.origin is not None:
        anchor_us = state_file.origin.anchor_us
    if anchor_us is None:
        anchor_us = midnight_us(clock.now_us())
    if state_file is None:
        state, log = TradingState(), TruthLog()
    else:
        state_file.begin(
            CatalogueOrigin(
                options.seed, options.markets, options.combos, anchor_us, options.tick_seconds, options.archived
            )
        )
        state, log = state_file.replay_events(), TruthLog(state_file.events, state_file)
        clock.advance(state.clock_offset_us - clock.offset_us)
    files = None if options.recordings is None else recorded_files(options.recordings)
    catalogue = _generated(options, clock, anchor_us) if files is None else RecordedCatalogue(files)
    engine = MatchingEngine(state, log, options.seed)
    venue = Venue(catalogue, clock, engine, log, has_crowd=options.crowd)
    if log.events:
        venue.restore()
    if options.turnover and isinstance(catalogue, GeneratedCatalogue):
        Turnover(catalogue, venue, options.turnover, options.seed).start(venue.now_us())
    venue.read_lag_us = options.read_lag_ms * 1_000
    start_amount = options.balance * MICRO
    keep_keys(engine, pems, start_amount, at_us=venue.advance())
    log.flush()
    return Exchange(
        catalogue,
        clock,
        KeyRing(clock, state.keys),
        RateLimits(options.limits_tier(), {**PUBLISHED_COSTS, **options.endpoint_costs}),
        venue,
        log,
        GeneratedNewsProvider.of(catalogue),
        start_amount,
        replay=None if files is None else Replay(files),
        state_file=state_file,
    )


def _generated(options: SandboxOptions, clock: ExchangeClock, anchor_us: int) -> GeneratedCatalogue:
    generation = Generation(options.markets, options.seed, options.combos, anchor_us, options.archived)
    generated = GeneratedCatalogue(generation, PriceTime(clock, options.tick_seconds, anchor_us))
    if options.warm:
        for market in generated.markets.values():
            market.json()
    return generated
