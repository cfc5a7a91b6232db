"""Layer normalisation of rows: y = (x - mean) rstd weight + bias with rstd = 1 / sqrt(variance + eps)."""

from __future__ import annotations

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation


def row_mean(x: Array) -> Array:
    """The mean of each row of x (rows, n) -> (rows, 1)."""
    return x.sum(axis=-1, keepdims=True) / x.dtype.type(x.shape[-1])


def centred(x: Array, mean: Array) -> Array:
    """x - mean (rows, 1), with what rounding left in the mean taken away as well: a constant row gives exactly 0."""
    difference = x - mean
    difference -= row_mean(difference)
    return difference


@operation()
def layer_norm_forward(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """As `contract.Backend.layer_norm_forward`; mean and rstd of 16-bit rows are float32."""
    mean = row_mean(x)
    y = centred(x, mean)
    rstd = 1 / np.sqrt(row_mean(y * y) + eps)
    y *= rstd
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean[:, 0], rstd[:, 0]


@operation(rounded=3)
def layer_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None
) -> tuple[Array, Array, Array]:
    """As `contract.Backend.layer_norm_backward`."""
    normal = centred(x, mean[:, None]) * rstd[:, None]
    dnormal = dy if weight is None else dy * weight
    dx = dnormal - row_mean(dnormal) - normal * row_mean(dnormal * normal)
    dx *= rstd[:, None]
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)
