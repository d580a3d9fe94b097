"""Data and trading pipelines for Kalshi prediction markets, on Dagster.

``dagster ... -m kalshi_pipelines`` finds the definitions as the attribute ``pipelines`` of this module. The attribute
needs a name that no module or folder of the package has. The definitions are built at first use, so that importing
another part of the package never loads Dagster.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    pipelines: dg.Definitions

__all__ = ["pipelines"]


def __getattr__(name: str) -> "dg.Definitions":
    if name != "pipelines":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kalshi_pipelines import definitions  # noqa: PLC0415

    return definitions.pipelines


def __dir__() -> list[str]:
    return sorted((*globals(), "pipelines"))
