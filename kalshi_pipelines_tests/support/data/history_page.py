"""The examples of docs/reading_history.md, run on the lake of the recorded market.

``python -m kalshi_pipelines_tests.support.data.history_page`` writes the results into the page.
"""

import contextlib
import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.checkout import DOCS
from kalshi_pipelines_tests.support.history.recorded_lake import add_recorded_market
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

PAGE: Final = DOCS / "reading_history.md"
_EXAMPLE: Final = re.compile(r"```(sql|python)\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Return the examples of the page: the language, the code and the result."""
    return [(kind, code, result) for kind, code, result in _EXAMPLE.findall(PAGE.read_text())]


@contextlib.contextmanager
def recorded_data(warehouse: Path | None = None) -> Iterator[Path]:
    """Yield a folder in which ``data/prod`` has the recorded market. ``warehouse`` is a migrated file to copy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data" / "prod"
        folder.mkdir(parents=True)
        if warehouse is not None:
            shutil.copy(warehouse, folder / "warehouse.db")
        engine = open_engine(f"sqlite:///{folder / 'warehouse.db'}")
        if warehouse is None:
            upgrade_to_head(engine)
        add_recorded_market(engine, folder / "lake")
        engine.dispose()
        yield Path(name)


def run_example(kind: str, code: str, folder: Path) -> str:
    """Return what an example prints if ``data/prod`` is in a folder."""
    here = code.replace("data/prod", str(folder / "data/prod"))
    if kind == "sql":
        with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return str(connection.sql(here)).rstrip() + "\n"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(here, str(PAGE), "exec"), {})  # noqa: S102  # an example of our own page
    return printed.getvalue()


def page_with_results(folder: Path) -> str:
    """Return the text of the page with the results of all examples."""

    def with_result(found: re.Match[str]) -> str:
        kind, code = found[1], found[2]
        return f"```{kind}\n{code}```\n\n```text\n{run_example(kind, code, folder)}```"

    return _EXAMPLE.sub(with_result, PAGE.read_text())


if __name__ == "__main__":
    with recorded_data() as place:
        PAGE.write_text(page_with_results(place))
