"""The pages of docs/ that are generated from code and tests.

``python -m kalshi_pipelines_tests.support.documents`` writes them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines_tests.support.checkout import DOCS
from kalshi_pipelines_tests.support.dictionary_page import PAGE as DICTIONARY
from kalshi_pipelines_tests.support.dictionary_page import dictionary_page
from kalshi_pipelines_tests.support.execution.audit_page import PAGE, audit_page
from kalshi_pipelines_tests.support.execution.catalogue import THREATS, threat_tests

_DENIALS: Final = """\
# Why an order is denied

Every denial has one of these codes: in the journal, in the audit, on `executed_orders` and in the output of the command
line. A check that cannot be carried out denies the order too. No byte of a denied order left the computer.

| code | cause | what to do |
|---|---|---|
"""
_THREATS: Final = """\
# What can go wrong, and what stops it

Threats to a program that trades, each with the control that stops it and the tests that prove the control. A threat
without a test fails the suite. The tests are in `kalshi_pipelines_tests/`, most of them in its folder `execution/`.

| | what goes wrong | what stops it | tests |
|---|---|---|---|
"""


def denials() -> str:
    """Return the text of docs/denials.md."""
    return _DENIALS + "".join(f"| `{each.code}` | {each.cause} | {each.remedy} |\n" for each in DenialReason)


def threats() -> str:
    """Return the text of docs/trading_threats.md."""
    tests = threat_tests()
    return _THREATS + "".join(
        f"| F{number:02} | {threat.failure} | {threat.control} | "
        + "<br>".join(f"`{test.name.removeprefix('test_')}`" for test in tests[number])
        + " |\n"
        for number, threat in THREATS.items()
    )


def documents() -> Mapping[Path, str]:
    """Return the path and the text of every page of docs/ that is generated."""
    return {
        DOCS / "denials.md": denials(),
        DOCS / "trading_threats.md": threats(),
        PAGE: audit_page(),
        DICTIONARY: dictionary_page(),
    }


if __name__ == "__main__":
    for page, text in documents().items():
        page.write_text(text)
