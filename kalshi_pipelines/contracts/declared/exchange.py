"""Contracts with endpoints about the exchange itself: status, schedule, cutoffs, costs, limits, search, programs."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from kalshi_pipelines.contracts.declared.errors import READ_ERRORS
from kalshi_pipelines.contracts.declared.fields import (
    NULLABLE,
    OPTIONAL,
    USUAL,
    clock,
    count,
    flag,
    free,
    listed,
    record,
    records,
    shard,
    text,
    time,
    whole,
    word,
)
from kalshi_pipelines.contracts.declared.reading import instant_at, number_at, rows_at, text_at
from kalshi_pipelines.contracts.language.declarations import (
    Access,
    BrokenRule,
    Contract,
    Field,
    LastingAttributes,
    Paging,
    by_place,
)
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.language.responses import Response

_ACTIVITY: Final = (
    flag("exchange_active", "orderbooks", "price_snapshots"),
    flag("trading_active", "orderbooks", "price_snapshots"),
)
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOURS: Final = (clock("open_time"), clock("close_time"))
_BUCKET: Final = (whole("refill_rate", least=1), whole("bucket_capacity", least=1))
_CATEGORIES: Final = (
    "Climate and Weather", "Companies", "Crypto", "Economics", "Elections", "Entertainment", "Financials", "Health",
    "Mentions", "Politics", "Science and Technology", "Social", "Sports", "Transportation", "World",
)  # fmt: skip
_WEEK: Final = tuple(each for day in _DAYS for each in records(day, _HOURS))


def _by_category() -> tuple[Field, ...]:
    return tuple(
        each
        for category in _CATEGORIES
        for each in listed(category, text(""), is_required=False, is_usual=True, is_nullable=True)
    )


def _shards_known(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    shards = [str(row.get("exchange_index")) for _, row in rows_at(body, "exchange_index_statuses[]")]
    if len(shards) != len(set(shards)):
        yield BrokenRule("exchange_index_statuses[].exchange_index", "a shard comes twice", ", ".join(shards))
    if shards and "0" not in shards:
        yield BrokenRule("exchange_index_statuses[].exchange_index", "shard 0 is gone", ", ".join(shards))


def _costs(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    default = number_at(body, "default_cost")
    if default is not None and default <= 0:
        yield BrokenRule("default_cost", "a request costs nothing", str(default), Severity.BREAKING)
    for at, row in rows_at(body, "endpoint_costs[]"):
        if text_at(row, "path") and not text_at(row, "path").startswith("/trade-api/v2/"):
            yield BrokenRule(f"{at}.path", "a path is not below /trade-api/v2", text_at(row, "path"))


def _cutoffs(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    now = dt.datetime.fromtimestamp(response.received_us // 1_000_000, dt.UTC)
    for name in ("market_settled_ts", "trades_created_ts", "orders_updated_ts"):
        instant = instant_at(body, name)
        if instant and instant > now + dt.timedelta(days=1):
            yield BrokenRule(name, "a cutoff lies in the future", str(instant))


def _caught_up(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    now = dt.datetime.fromtimestamp(response.received_us // 1_000_000, dt.UTC)
    instant = instant_at(body, "as_of_time")
    if instant and instant > now + dt.timedelta(hours=1):
        yield BrokenRule("as_of_time", "portfolio reads are ahead of the clock", str(instant))


def _programs(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    for at, row in rows_at(body, "incentive_programs[]"):
        start, end = instant_at(row, "start_date"), instant_at(row, "end_date")
        if start and end and start > end:
            yield BrokenRule(f"{at}.end_date", "a program ends before it starts", f"{start} > {end}")


EXCHANGE: Final = (
    Contract(
        "GET /exchange/status",
        by_place(
            _ACTIVITY,
            (flag("intra_exchange_transfers_active", **USUAL), time("exchange_estimated_resume_time", **NULLABLE)),
            records(
                "exchange_index_statuses",
                (shard(), text("description"), *_ACTIVITY, flag("intra_exchange_transfers_active")),
                is_required=False, is_usual=True,
            ),
        ),
        invariants=(_shards_known,),
        errors=READ_ERRORS,
        used_by=("markets", "orderbooks"),
    ),
    Contract(
        "GET /exchange/schedule",
        by_place(
            record(
                "schedule",
                (
                    *records(
                        "standard_hours",
                        (time("start_time"), time("end_time"), *_WEEK),
                    ),
                    *records("maintenance_windows", (time("start_datetime"), time("end_datetime"))),
                ),
            )
        ),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /exchange/user_data_timestamp",
        by_place((time("as_of_time", "balances", "positions", "trades", is_moving=True),)),
        invariants=(_caught_up,),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /historical/cutoff",
        by_place(
            (
                time("market_settled_ts", "markets"),
                time("trades_created_ts", "public_trades"),
                time("orders_updated_ts"),
                time("market_positions_last_updated_ts", **USUAL),
            )
        ),
        invariants=(_cutoffs,),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /account/endpoint_costs",
        by_place((whole("default_cost"),), records("endpoint_costs", (text("method"), text("path"), whole("cost")))),
        paging=Paging("endpoint_costs", cursor="", key=("method", "path")),
        invariants=(_costs,),
        lasting=(LastingAttributes("endpoint_costs[]", ("method", "path"), ("cost",), is_complete=True),
                 LastingAttributes("$", (), ("default_cost",))),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /account/limits",
        by_place(
            (text("usage_tier"),),
            record("read", _BUCKET),
            record("write", _BUCKET),
            records(
                "grants",
                (word("exchange_instance", "event_contract|margined", is_closed=False), text("level"),
                 whole("expires_ts", **NULLABLE), text("source")),
            ),
        ),
        access=Access.KEY,
        lasting=(LastingAttributes("$", (), ("usage_tier",)),
                 LastingAttributes("read", (), ("refill_rate", "bucket_capacity")),
                 LastingAttributes("write", (), ("refill_rate", "bucket_capacity"))),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /search/tags_by_categories",
        by_place(record("tags_by_categories", _by_category())),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /incentive_programs",
        by_place(
            records(
                "incentive_programs",
                (
                    text("id"), text("market_id"), text("market_ticker"),
                    word("incentive_type", "liquidity|volume", is_closed=False),
                    text("incentive_description"), time("start_date"), time("end_date"), whole("period_reward"),
                    flag("paid_out"), whole("discount_factor_bps", **NULLABLE),
                    count("target_size_fp", is_required=False, is_nullable=True),
                    whole("max_reward_per_account", **NULLABLE),
                ),
            ),
            (text("next_cursor", **OPTIONAL),),
        ),
        paging=Paging("incentive_programs", cursor="next_cursor", is_cursor_required=False, most=10_000, usual=100,
                    key=("id",)),
        invariants=(_programs,),
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /live_data/milestone/{milestone_id}",
        by_place(record("live_data", (text("type"), free("details"), text("milestone_id")))),
        errors=READ_ERRORS,
        codes={404: frozenset({"not_found"})},
    ),
)  # fmt: skip
