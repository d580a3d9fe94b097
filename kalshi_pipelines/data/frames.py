"""Rows as pandas frames with exact decimals and times in UTC."""

from typing import TYPE_CHECKING

import pyarrow as pa

from kalshi_pipelines.errors import ExpectedError

if TYPE_CHECKING:
    import pandas as pd


class PandasMissing(ExpectedError):
    """The optional package pandas is not installed."""


def frame(rows: pa.Table | pa.RecordBatchReader) -> "pd.DataFrame":
    """Return rows as a pandas frame whose columns keep their Arrow types: exact decimals, times in UTC, nulls.

    Sums and comparisons of such columns are exact, and much quicker than those of Python's ``Decimal``.

    Raises:
        PandasMissing: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # optional
    except ImportError:
        raise PandasMissing("pandas is not installed.", "Run `pip install 'kalshi-pipelines[research]'`.") from None
    table = rows if isinstance(rows, pa.Table) else rows.read_all()
    return table.to_pandas(types_mapper=pd.ArrowDtype)
