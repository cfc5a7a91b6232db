"""dropout."""

from __future__ import annotations

import math
from typing import Any

from pylayers import random
from pylayers.autograd import Record, Tensor
from pylayers.functional.inplace import changed
from pylayers.functional.shape import as_tensor
from pylayers.operations import checks
from pylayers.operations.dropout import dropout as drop
from pylayers.operations.dropout import words_used

Array = Any


class Dropout(Record):
    """y = x keep / (1 - p); the mask is computed again in backward from the seed and the offset."""

    @staticmethod
    def forward(ctx: Any, x: Array, p: float, seed: int, offset: int) -> Array:
        ctx.mask = (p, seed, offset)
        return drop(x, p, seed, offset)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None, None]:
        return drop(dy, *ctx.mask), None, None, None


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training sets elements to 0 with probability p and scales the rest by 1 / (1 - p); otherwise the input itself.

    Any shape. The mask follows from `manual_seed` and the calls since. With `inplace` in the memory of the input, which
    becomes the result. ValueError for p outside [0, 1].
    """
    x = as_tensor("dropout", input)
    p = checks.number("dropout", "p", p, 0.0, math.nextafter(1.0, 2.0), "a probability in [0, 1]")
    if not training or p == 0:
        return x
    if inplace:
        return changed("dropout", x, dropout, p)
    return Dropout.apply(x, p, *random.philox(words_used(x.array)))
