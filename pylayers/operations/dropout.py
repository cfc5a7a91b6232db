"""Dropout: y = x keep / (1 - p), with the mask a function of (seed, offset) and the position, so it is never stored."""

from __future__ import annotations

import math
from typing import Any

from pylayers import backends
from pylayers.operations import checks

Array = Any


def dropout(x: Array, p: float, seed: int, offset: int) -> Array:
    """Sets elements of x to 0 with probability p and scales the rest by 1 / (1 - p); any shape.

    The gradient is the same function of dy. ValueError for p outside [0, 1] and for NaN.
    """
    checks.floating("dropout", "x", x)
    p = checks.number("dropout", "p", p, 0.0, math.nextafter(1.0, 2.0), "a probability in [0, 1]")
    return backends.of("dropout", x).dropout(x, p, seed, offset)


def words_used(x: Array) -> int:
    """How far the offset must advance so that the next mask shares no random word with that of x."""
    return -(-x.size // 4)
