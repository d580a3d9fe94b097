"""Deterministic noise: whole numbers that look random but depend only on their arguments.

Belongs here: the function that mixes the arguments. Does not belong here: prices, sizes and trades computed from the
numbers (``markets``).
"""

from typing import Final

_MASK: Final = (1 << 64) - 1


def mixed(a: int, b: int, c: int = 0) -> int:
    """Return an evenly distributed 64-bit number that depends only on three whole numbers."""
    x = (a * 0x9E3779B97F4A7C15 + b * 0xC2B2AE3D27D4EB4F + c * 0x165667B19E3779F9) & _MASK
    x = ((x ^ (x >> 31)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def swing(seed: int, octave: int, position: int, shift: int) -> int:
    """Return a number from -1024 to 1024 that changes smoothly with ``position``.

    The values lie on straight lines between random points that are 2**shift positions apart.
    """
    left = position >> shift
    a = mixed(seed, octave, left) & 2047
    if shift == 0:
        return a - 1024
    b = mixed(seed, octave, left + 1) & 2047
    return a + (((b - a) * (position - (left << shift))) >> shift) - 1024
