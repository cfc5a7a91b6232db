"""Softmax and its logarithm over the last axis, shifted by the row's maximum so that nothing overflows."""

from __future__ import annotations

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation


@operation()
def softmax_forward(x: Array, log: bool) -> Array:
    """As `contract.Backend.softmax_forward`."""
    shifted = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    if log:
        shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return shifted
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


@operation()
def softmax_backward(dy: Array, y: Array, log: bool) -> Array:
    """As `contract.Backend.softmax_backward`."""
    if log:
        return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)
    return y * (dy - (y * dy).sum(axis=-1, keepdims=True))
