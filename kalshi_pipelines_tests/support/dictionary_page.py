"""The text of docs/data_dictionary.md, made from the dictionaries of the warehouse and the lake."""

from collections.abc import Iterable, Iterator
from typing import Final

from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines.lake.dictionary import DATASET_TEXTS, field_meaning
from kalshi_pipelines.warehouse.dictionary import TABLES, Meaning, meaning_of
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines_tests.support.checkout import DOCS

PAGE: Final = DOCS / "data_dictionary.md"
_BEGIN: Final = """\
# Data dictionary

Every column of the lake and of the warehouse: what it means, its unit, and the field of the vendor that it is from.
"this package" means that no vendor sent the value. The Dagster UI shows the same texts with each asset. Prices are YES
prices unless the name or the text says NO. [Use the data](data.md) shows how to read it.

## Datasets of the lake

Parquet files with exact decimals: dollars have 6 decimals and contracts have 2.
"""
_WAREHOUSE: Final = """
## Tables of the warehouse

Integers carry their unit in their name: 570000 in a column `*_microdollars` is 0.57 dollars.
"""
_HEADER: Final = "\n| column | meaning | unit | source |\n|---|---|---|---|\n"


def dictionary_page() -> str:
    """Return the text of the page."""
    datasets = "".join(
        _section(
            name, text.row, [(field.name, field_meaning(DATASETS[name], field.name)) for field in DATASETS[name].schema]
        )
        for name, text in DATASET_TEXTS.items()
    )
    tables = "".join(
        _section(name, text.row, [(column.name, meaning_of(column)) for column in metadata.tables[name].columns])
        for name, text in TABLES.items()
    )
    return f"{_BEGIN}{datasets}{_WAREHOUSE}{tables}"


def _section(name: str, row: str, columns: Iterable[tuple[str, Meaning]]) -> str:
    return f"\n### {name}\n\n{row}\n{_HEADER}{''.join(_lines(columns))}"


def _lines(columns: Iterable[tuple[str, Meaning]]) -> Iterator[str]:
    for name, meaning in columns:
        yield f"| `{name}` | {meaning.text} | {meaning.unit} | {meaning.source} |\n"
