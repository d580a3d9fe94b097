"""A pytest plugin that skips the shrinking of examples. Any failure detects a mutant, and shrinking takes minutes."""

from hypothesis import Phase, settings


def pytest_configure() -> None:
    """Let Hypothesis generate examples without shrinking them."""
    settings.register_profile("unshrunk", deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    settings.load_profile("unshrunk")
