"""What a sandbox is started with, and building the exchange from it.

Belongs here: the options, their meaning and their defaults. Does not belong here: reading them from a command line
(``__main__``) or starting a process with them (``process``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kalshi_pipelines.sandbox.catalogue import HISTORY_DAYS, GeneratedCatalogue, Generation
from kalshi_pipelines.sandbox.clock import DAY_US, ExchangeClock, PriceTime, midnight_us
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.rate_limits import PUBLISHED_COSTS, TIERS, BucketSize, RateLimits, Tier
from kalshi_pipelines.sandbox.recorded_catalogue import RecordedCatalogue
from kalshi_pipelines.sandbox.recordings import Replay, recorded_files
from kalshi_pipelines.sandbox.signatures import KeyRing, public_keys_of_files


@dataclass(frozen=True)
class SandboxOptions:
    """How a sandbox exchange is set up.

    Attributes:
        markets: Number of markets that are no combos; archived ones come on top.
        seed: What the catalogue is generated from.
        combos: Number of combos.
        tick_seconds: How often the liveliest prices move; 0 freezes all prices at the anchor.
        anchor_us: Microseconds since 1970 of the instant dates are counted from; the last UTC midnight if not given.
        tier: Usage tier of every caller, ``unlimited`` for no limit.
        read_refill_rate: Read tokens a second, in place of the tier's.
        read_capacity: Read tokens held at most, in place of the tier's.
        endpoint_costs: Costs by endpoint (``GET /markets``), on top of the published ones.
        recordings: A folder of recorded responses to serve instead of a generated catalogue.
        keys: PEM files of API keys, public or private, by key id; only the public part is kept.
        warm: Write the JSON of every market before serving, so that the first walk is as fast as the next. It takes
            about 3 seconds for 100,000 markets; without it the first walk pays.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
    """

    markets: int = 1_000
    seed: int = 7
    combos: int = 100
    tick_seconds: int = 60
    anchor_us: int | None = None
    tier: str = "basic"
    read_refill_rate: int | None = None
    read_capacity: int | None = None
    endpoint_costs: Mapping[str, int] = field(default_factory=dict)
    recordings: Path | None = None
    keys: Mapping[str, Path] = field(default_factory=dict)
    warm: bool = True
    host: str = "127.0.0.1"
    port: int = 0

    def limits_tier(self) -> Tier:
        """The tier with the overrides of these options."""
        tier = TIERS[self.tier]
        read = BucketSize(
            tier.read.refill_rate if self.read_refill_rate is None else self.read_refill_rate,
            tier.read.capacity if self.read_capacity is None else self.read_capacity,
        )
        return replace(tier, read=read)


def exchange_of(options: SandboxOptions, clock: ExchangeClock | None = None) -> Exchange:
    """The exchange those options describe.

    Raises:
        UnusableKey: A key file can not be used.
        UnusableRecordings: The folder holds no recordings.
    """
    clock = clock or ExchangeClock()
    anchor_us = midnight_us(clock.now_us()) if options.anchor_us is None else options.anchor_us
    keys = KeyRing(clock, public_keys_of_files(options.keys))
    limits = RateLimits(options.limits_tier(), {**PUBLISHED_COSTS, **options.endpoint_costs})
    if options.recordings is not None:
        files = recorded_files(options.recordings)
        catalogue = RecordedCatalogue(files)
        return Exchange(catalogue, clock, anchor_us - HISTORY_DAYS * DAY_US, keys, limits, replay=Replay(files))
    generation = Generation(options.markets, options.seed, options.combos, anchor_us)
    time = PriceTime(clock, options.tick_seconds, anchor_us)
    generated = GeneratedCatalogue(generation, time)
    if options.warm:
        for market in generated.markets.values():
            market.json()
    return Exchange(generated, clock, generation.cutoff_us, keys, limits)
