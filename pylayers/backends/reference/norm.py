"""Normalisation of rows: y = (x - mean) rstd weight + bias with rstd = 1 / sqrt(variance + eps), or without mean."""

from __future__ import annotations

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation
from pylayers.backends.reference.rows import by_rows, row_dot, row_mean


def centre(x: Array, mean: Array, y: Array) -> None:
    """y = x - mean (rows, 1), with what rounding left in the mean taken away too: a constant row gives exactly 0."""
    np.subtract(x, mean, out=y)
    y -= row_mean(y)


def reciprocal_root(x: Array, eps: float) -> Array:
    """1 / sqrt(mean(x^2) + eps) of each row of x (rows, n) -> (rows, 1)."""
    mean = row_dot(x, x) / x.dtype.type(x.shape[-1])
    root = 1 / np.sqrt(mean + eps)
    large = np.isinf(mean[:, 0])
    if large.any():  # float32 beyond 1e19: a power of two brings squares back into its range
        shrink = x.dtype.type(2.0) ** (-3 * np.finfo(x.dtype).maxexp // 4)
        root[large] = shrink / np.sqrt(row_mean(np.square(x[large] * shrink)))
    return root


@operation()
def layer_norm_forward(x: Array, weight: Array | None, bias: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """As `contract.Backend.layer_norm_forward`; mean and rstd of 16-bit rows are float32."""

    def work(x: Array, y: Array, mean: Array, rstd: Array) -> None:
        mean[...] = row_mean(x)
        centre(x, mean, y)
        rstd[...] = reciprocal_root(y, eps)
        y *= rstd
        if weight is not None:
            y *= weight
        if bias is not None:
            y += bias

    y = arrays.empty_like(x)
    mean, rstd = (np.empty((x.shape[0], 1), x.dtype) for _ in range(2))
    by_rows(work, x, y, mean, rstd)
    return y, mean[:, 0], rstd[:, 0]


@operation(rounded=3)
def layer_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array | None
) -> tuple[Array, Array, Array]:
    """As `contract.Backend.layer_norm_backward`."""

    n = x.dtype.type(x.shape[-1])

    def work(dy: Array, x: Array, mean: Array, rstd: Array, dx: Array) -> Array:
        normal = np.empty_like(x)
        centre(x, mean, normal)
        normal *= rstd
        sums = np.stack([np.multiply(dy, normal, out=dx).sum(axis=0), dy.sum(axis=0)])
        dnormal = dy if weight is None else np.multiply(dy, weight, out=dx)
        slope = row_dot(dnormal, normal) / n
        np.subtract(dnormal, row_mean(dnormal), out=dx)
        normal *= slope
        dx -= normal
        dx *= rstd
        return sums

    dx = arrays.empty_like(dy)
    sums = by_rows(work, dy, x, mean[:, None], rstd[:, None], dx)
    dweight, dbias = np.sum([np.zeros((2, x.shape[1]), x.dtype), *sums], axis=0)
    return dx, dweight, dbias


@operation()
def rms_norm_forward(x: Array, weight: Array | None, eps: float) -> tuple[Array, Array]:
    """As `contract.Backend.rms_norm_forward`; rstd of 16-bit rows is float32."""

    def work(x: Array, y: Array, rstd: Array) -> None:
        rstd[...] = reciprocal_root(x, eps)
        np.multiply(x, rstd, out=y)
        if weight is not None:
            y *= weight

    y, rstd = arrays.empty_like(x), np.empty((x.shape[0], 1), x.dtype)
    by_rows(work, x, y, rstd)
    return y, rstd[:, 0]


@operation(rounded=2)
def rms_norm_backward(dy: Array, x: Array, rstd: Array, weight: Array | None) -> tuple[Array, Array]:
    """As `contract.Backend.rms_norm_backward`."""

    def work(dy: Array, x: Array, rstd: Array, dx: Array) -> Array:
        normal = x * rstd
        sums = np.multiply(dy, normal, out=dx).sum(axis=0)
        dnormal = dy if weight is None else dy * weight
        normal *= row_dot(dnormal, normal) / x.dtype.type(x.shape[-1])
        np.subtract(dnormal, normal, out=dx)
        dx *= rstd
        return sums

    dx = arrays.empty_like(dy)
    sums = by_rows(work, dy, x, rstd[:, None], dx)
    return dx, np.sum([np.zeros(x.shape[1], x.dtype), *sums], axis=0)
