"""What one answer is made of: which places, how often, of which types, formats and values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Inventory:
    """A digest of an answer, or of many merged. JSON both ways by ``as_json`` and ``from_json``."""

    places: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` reads."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Inventory":
        """The inventory written by ``as_json``."""
        raise NotImplementedError
