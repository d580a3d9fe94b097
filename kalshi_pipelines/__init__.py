"""Data and trading pipelines for Kalshi prediction markets, on Dagster.

``dagster ... -m kalshi_pipelines`` finds the definitions here. They are made when asked for, so that importing a lower
floor never loads Dagster.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    defs: dg.Definitions

__all__ = ["defs"]


def __getattr__(name: str) -> "dg.Definitions":
    if name != "defs":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kalshi_pipelines import definitions  # noqa: PLC0415

    return definitions.defs


def __dir__() -> list[str]:
    return sorted((*globals(), "defs"))
