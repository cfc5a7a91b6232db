"""y = activation(a @ b + bias) on BLAS, and the sums over columns that are the gradients of biases."""

from __future__ import annotations

import numpy as np

from pylayers import arrays
from pylayers.backends.protocol import Activation, Array
from pylayers.backends.reference.activation import activate
from pylayers.backends.reference.precision import operation

BLOCK = 256  # rows that column_sum adds up at a time


def blas_matrix(x: Array) -> Array:
    """x (b, m, n), copied if BLAS cannot read its matrices in place (NumPy would multiply without BLAS)."""
    rows, columns = x.strides[-2] // x.itemsize, x.strides[-1] // x.itemsize
    m, n = x.shape[-2:]
    readable = (columns == 1 and rows >= n) or (rows == 1 and columns >= m)
    return x if readable else np.ascontiguousarray(x)


@operation()
def gemm(a: Array, b: Array, bias: Array | None = None, activation: Activation | None = None) -> Array:
    """As `protocol.Backend.gemm`; y is C-contiguous."""
    y = arrays.library(a).empty((*a.shape[:2], b.shape[2]), a.dtype, arrays.device(a))
    np.matmul(blas_matrix(a), blas_matrix(b), out=y)
    if bias is not None:
        y += bias
    if activation is not None:
        activate(y, activation)
    return y


@operation()
def column_sum(x: Array) -> Array:
    """As `protocol.Backend.column_sum`."""
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
