"""y[c] = sum over o, i of x[o, c, i]: bias gradients."""

from __future__ import annotations

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation
from pylayers.backends.reference.rows import by_rows, ones, row_sum

BLOCK = 256  # rows that a product with ones adds up


@operation()
def column_sum(x: Array) -> Array:
    """As `contract.Backend.column_sum`."""
    return sum_columns(x)


def sum_columns(x: Array) -> Array:
    """The same in the dtype of x, without the care of `operation`."""
    o, c, i = x.shape
    rows = x.transpose(0, 2, 1)
    if not rows.flags.c_contiguous:
        planes = x.reshape(o * c, i)
        rows = np.empty((o * c, 1), x.dtype)
        by_rows(lambda plane, total: np.copyto(total, row_sum(plane)), planes, rows)
    sums = by_rows(block_sum, rows.reshape(-1, c) if c else rows.reshape(1, 0))
    return np.sum([np.zeros(c, x.dtype), *sums], axis=0)


def block_sum(rows: Array) -> Array:
    """The sum of rows (r, c) -> (c,): products with ones, in blocks, for rounding grows with their length."""
    whole = rows.shape[0] // BLOCK * BLOCK
    total = ones(rows.shape[0] - whole, rows.dtype) @ rows[whole:]
    if whole:
        total += np.matmul(ones(BLOCK, rows.dtype), rows[:whole].reshape(-1, BLOCK, rows.shape[1])).sum(axis=0)
    return total
