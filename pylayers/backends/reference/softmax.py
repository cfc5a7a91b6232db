"""Softmax and its logarithm over the last axis, shifted by the row's maximum so that nothing overflows."""

from __future__ import annotations

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation
from pylayers.backends.reference.rows import by_rows, row_dot, row_sum


def softmax_rows(x: Array, y: Array, log: bool) -> Array:
    """y = softmax of each row of x, or its logarithm; -> y."""
    np.subtract(x, x.max(axis=-1, keepdims=True, initial=-np.inf), out=y)
    if log:
        y -= np.log(row_sum(np.exp(y)))
    else:
        np.exp(y, out=y)
        y /= row_sum(y)
    return y


@operation()
def softmax_forward(x: Array, log: bool) -> Array:
    """As `contract.Backend.softmax_forward`."""
    y = arrays.empty_like(x)
    by_rows(lambda x, y: softmax_rows(x, y, log), x, y)
    return y


@operation()
def softmax_backward(dy: Array, y: Array, log: bool) -> Array:
    """As `contract.Backend.softmax_backward`: dx = dy - exp(y) sum(dy) if log, else y (dy - sum(y dy))."""

    def work(dy: Array, y: Array, dx: Array) -> None:
        if log:
            np.exp(y, out=dx)
            dx *= row_sum(dy)
            np.subtract(dy, dx, out=dx)
        else:
            np.subtract(dy, row_dot(y, dy), out=dx)
            dx *= y

    dx = arrays.empty_like(dy)
    by_rows(work, dy, y, dx)
    return dx
