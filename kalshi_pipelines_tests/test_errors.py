import importlib
import pickle
import pkgutil

import kalshi_pipelines
from kalshi_pipelines import errors
from kalshi_pipelines.errors import ExpectedError


def _draw(kind: type[ExpectedError], depth: int = 0) -> list[str]:
    """Return the subclasses of an error class as an indented list, each with its module."""
    room = kind.__module__.removeprefix("kalshi_pipelines.")
    lines = ["    " * depth + f"{kind.__name__}" + (f" ({room})" if depth else "")]
    for below in sorted(kind.__subclasses__(), key=lambda each: (each.__module__, each.__name__)):
        if below.__module__.startswith("kalshi_pipelines."):
            lines += _draw(below, depth + 1)
    return lines


def test_errors_drawing_in_the_docstring_shows_every_expected_error() -> None:
    for module in pkgutil.walk_packages(kalshi_pipelines.__path__, "kalshi_pipelines."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    drawing = "\n".join(f"    {line}" for line in _draw(ExpectedError))
    assert drawing in (errors.__doc__ or ""), f"draw this in kalshi_pipelines/errors.py:\n{drawing}"


def test_expected_error_with_remedy_shows_both_sentences() -> None:
    error = ExpectedError("The file is empty.", "Write to it.")
    assert (error.problem, error.remedy, str(error)) == (
        "The file is empty.",
        "Write to it.",
        "The file is empty. Write to it.",
    )
    assert not error.retryable
    assert ExpectedError("Locked.", retryable=True).retryable


def test_expected_error_sent_between_processes_keeps_its_parts() -> None:
    error = pickle.loads(pickle.dumps(ExpectedError("Locked.", "Try again.", retryable=True)))  # noqa: S301
    assert (error.problem, error.remedy, error.retryable) == ("Locked.", "Try again.", True)
