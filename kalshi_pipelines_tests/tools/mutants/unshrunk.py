"""A plugin of pytest: all that is asked of a mutant is whether a property fails; a small example takes minutes."""

from hypothesis import Phase, settings


def pytest_configure() -> None:
    """Look for examples, and not for small ones."""
    settings.register_profile("unshrunk", deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    settings.load_profile("unshrunk")
