"""A pytest plugin that keeps Hypothesis from simplifying a failing example.

A mutation test only needs to know whether a property fails. Simplifying its example would take minutes.
"""

from hypothesis import Phase, settings


def pytest_configure() -> None:
    """Turn off Hypothesis's shrink phase and its deadline."""
    settings.register_profile("unshrunk", deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    settings.load_profile("unshrunk")
