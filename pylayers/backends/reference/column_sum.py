"""y[c] = sum over o, i of x[o, c, i]: bias gradients."""

from __future__ import annotations

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation

BLOCK = 256  # rows that are added up at a time


@operation()
def column_sum(x: Array) -> Array:
    """As `contract.Backend.column_sum`."""
    return sum_columns(x)


def sum_columns(x: Array) -> Array:
    """The same in the dtype of x, without `operation`'s care."""
    o, c, i = x.shape
    rows = x.transpose(0, 2, 1)
    if not rows.flags.c_contiguous:
        rows = x.sum(axis=2)
    rows = rows.reshape(o * i if rows.ndim == 3 else o, c)
    # Products with ones are several times quicker than sum(axis=0); in blocks, for rounding grows with their length.
    whole = rows.shape[0] // BLOCK * BLOCK
    ones = np.ones(BLOCK, x.dtype)
    blocks = np.matmul(ones, rows[:whole].reshape(-1, BLOCK, c)) if whole else np.zeros((0, c), x.dtype)
    return blocks.sum(axis=0) + ones[: rows.shape[0] - whole] @ rows[whole:]
