"""Work on the rows of matrices (rows, n): blocks that stay in cache, on every thread, and sums along rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.parallel import FLAT_PART, parts, run

# BLAS adds up a piece of this length in dozens of running sums; pieces are added pairwise.
PIECE = 1024
# NumPy copies operands that are broadcast to a buffer where it holds more than a row, which costs as much as the sum
# or product itself; only for shorter rows it is quicker than to begin anew with each.
LONG, BUFFER = 256, 8192  # elements


def by_rows(work: Callable[..., Any], *operands: Array) -> list[Any]:
    """What work(*operands) gives on each block of rows; operands are (rows, ...), one row of the first n."""
    rows, n = operands[0].shape
    found: dict[int, Any] = {}  # by their first row

    def block(part: slice) -> None:
        found[part.start] = work(*(x[part] for x in operands))

    with np.errstate():  # whose end also restores the size of the buffer
        if n >= LONG:
            np.setbufsize(min(n, BUFFER) // 16 * 16)
        run(block, parts(rows, n, FLAT_PART))
    return [result for _, result in sorted(found.items())]


def row_dot(x: Array, y: Array) -> Array:
    """The sum of x y along each row of x (rows, n), y (rows, n) or (n,) -> (rows, 1)."""
    rest = x.shape[-1] % PIECE or PIECE
    total = np.vecdot(x[:, -rest:], y[..., -rest:])
    if x.shape[-1] > rest:
        total += np.vecdot(*(z[..., :-rest].reshape(*z.shape[:-1], -1, PIECE) for z in (x, y))).sum(axis=-1)
    return total[:, None]


@functools.lru_cache(64)
def ones(n: int, dtype: Any) -> Array:
    """n times 1."""
    return np.ones(n, dtype)


def row_sum(x: Array) -> Array:
    """The sum of each row of x (rows, n) -> (rows, 1)."""
    return row_dot(x, ones(x.shape[-1], x.dtype))


def row_mean(x: Array) -> Array:
    """The mean of each row of x (rows, n) -> (rows, 1)."""
    return row_sum(x) / x.dtype.type(x.shape[-1])
