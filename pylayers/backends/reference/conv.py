"""Convolution in any number of dimensions: patches as columns (one copy per tap), then one product on BLAS.

Columns are (groups, q, images * windows) with q = C/groups * prod(R). Their memory has the channels innermost where the
image has, and the windows innermost otherwise, so that copies run along memory and products need no transposition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Activation, Array, Pads, Sizes
from pylayers.backends.reference.activation import activate
from pylayers.backends.reference.parallel import parts, run
from pylayers.backends.reference.precision import dense, operation
from pylayers.backends.reference.windows import Axis, convolution_axes, taps

MOST = 1 << 19  # elements of columns or of y at a time: 2 MiB, to stay in the last-level cache
# From here on one product for each image is large enough, and mostly so small that BLAS stays on the calling thread.
MANY_WINDOWS = 256


def channels_last(x: Array) -> bool:
    """Whether the channels of x (N, C, *S) are innermost in memory."""
    return arrays.memory_order(x)[-1] == 1


def standard(x: Array) -> bool:
    """Whether x (N, C, *S) is dense in one of the two orders that the products below write: N C *S or N *S C."""
    return bool(x.flags.c_contiguous or np.moveaxis(x, 1, -1).flags.c_contiguous)


def grouped(x: Array, groups: int) -> Array:
    """x (n, C, *S) as (groups, C/groups, n, *S)."""
    return np.moveaxis(x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]), 0, 2)


def empty_columns(n: int, channels: int, groups: int, windows: tuple[Axis, ...], inner: bool, dtype: Any) -> Array:
    """Columns (groups, C/groups, *R, n, *P) with any content; `inner` puts (groups, *R, C/groups) innermost."""
    kernel, out = [axis.kernel for axis in windows], [axis.out for axis in windows]
    own, d = channels // groups, len(windows)
    if not inner:
        return np.empty((groups, own, *kernel, n, *out), dtype)
    columns = np.empty((n, *out, groups, *kernel, own), dtype)
    return columns.transpose(d + 1, 2 * d + 2, *range(d + 2, 2 * d + 2), *range(d + 1))


def matrix(columns: Array, inner: bool) -> Array:
    """Columns as (groups, q, n * windows) as a view; q runs over (*R, C/groups) if `inner`, else (C/groups, *R)."""
    d = (columns.ndim - 3) // 2
    ordered = np.moveaxis(columns, 1, d + 1) if inner else columns
    return ordered.reshape(columns.shape[0], math.prod(columns.shape[1 : d + 2]), math.prod(columns.shape[d + 2 :]))


def patches(x: Array, groups: int, windows: tuple[Axis, ...], inner: bool) -> Array:
    """x (n, C, *S) -> its columns."""
    columns = empty_columns(x.shape[0], x.shape[1], groups, windows, inner, x.dtype)
    if not all(axis.inside for axis in windows):
        columns.fill(0)
    source = grouped(x, groups)
    for tap, out, inside in taps(windows):
        columns[(slice(None), slice(None), *tap, slice(None), *out)] = source[(..., *inside)]
    return columns


def weight_matrix(weight: Array, groups: int, inner: bool) -> Array:
    """weight (K, C/groups, *R) -> (groups, K/groups, q), q as in `matrix`."""
    ordered = np.moveaxis(weight, 1, -1) if inner else weight
    return ordered.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


def image_matrix(y: Array, groups: int) -> Array:
    """y (n, K, *P) -> (groups, K/groups, n * windows); a view if y is channels last or n is 1."""
    return grouped(y, groups).reshape(groups, y.shape[1] // groups, y.shape[0] * math.prod(y.shape[2:]))


def image_matrices(y: Array, groups: int) -> Array:
    """y (n, K, *P) -> (n, groups, K/groups, windows), a view."""
    return y.reshape(y.shape[0], groups, y.shape[1] // groups, math.prod(y.shape[2:]))


def by_image(columns: Array, n: int) -> Array:
    """Columns (groups, q, n * windows) -> (n, groups, q, windows), a view."""
    return columns.reshape(*columns.shape[:2], n, columns.shape[2] // n).transpose(2, 0, 1, 3)


def columns_inside(x: Array, groups: int) -> bool:
    """Whether columns of x are to have their channels innermost."""
    return channels_last(x) and x.shape[1] > groups


def multiply(w: Array, columns: Array, y: Array) -> None:
    """y (n, K, *P) = w (groups, K/groups, q) @ columns (groups, q, n * windows), written in place."""
    n, groups = y.shape[0], w.shape[0]
    if channels_last(y) and math.prod(y.shape[2:]) < MANY_WINDOWS:
        np.matmul(w, columns, out=image_matrix(y, groups))
    else:
        np.matmul(w, by_image(columns, n), out=image_matrices(y, groups))


def add_bias(y: Array, bias: Array) -> None:
    """y (n, K, *P) += bias (K,), in place."""
    if channels_last(y):
        # A row of windows at a time: NumPy's loop over K numbers alone would cost more than the additions.
        rows = np.moveaxis(y, 1, -1).reshape(-1, y.shape[-1] * y.shape[1])
        rows += np.tile(bias, y.shape[-1])
    else:
        y += bias.reshape(-1, *[1] * (y.ndim - 2))


@operation()
def conv_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Sizes,
    padding: Pads,
    dilation: Sizes,
    groups: int,
    activation: Activation | None = None,
) -> Array:
    """As `contract.Backend.conv_forward`."""
    windows = convolution_axes(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = arrays.empty_like(x, (x.shape[0], weight.shape[0], *(axis.out for axis in windows)))
    if not y.size:
        return y
    if not standard(y):
        y[...] = conv_forward(x.copy(order="C"), weight, bias, stride, padding, dilation, groups, activation)
        return y
    inner = columns_inside(x, groups)
    w = weight_matrix(weight, groups, inner)

    def work(images: slice) -> None:
        part = y[images]
        multiply(w, matrix(patches(x[images], groups, windows, inner), inner), part)
        if bias is not None:
            add_bias(part, bias)
        if activation is not None:
            activate(part, activation)

    run(work, parts(x.shape[0], max(groups * w.shape[2], w.shape[0] * w.shape[1]) * math.prod(y.shape[2:]), MOST))
    return y


@operation()
def conv_input_gradient(
    dy: Array, weight: Array, x_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Array:
    """As `contract.Backend.conv_input_gradient`: the columns of dx = weight^T dy, added back tap by tap."""
    windows = convolution_axes(x_shape[2:], weight.shape[2:], stride, padding, dilation)
    dx = arrays.empty_like(dy, x_shape)
    dx.fill(0)
    dy = dense(dy)
    if not standard(dy):
        dy = np.ascontiguousarray(dy)
    inner = channels_last(dy)
    w = weight_matrix(weight, groups, inner).transpose(0, 2, 1)

    def work(images: slice) -> None:
        part = dy[images]
        columns = empty_columns(part.shape[0], x_shape[1], groups, windows, inner, dx.dtype)
        if inner:
            np.matmul(w, image_matrix(part, groups), out=matrix(columns, inner))
        else:
            np.matmul(w, image_matrices(part, groups), out=by_image(matrix(columns, inner), part.shape[0]))
        target = grouped(dx[images], groups)
        for tap, out, inside in taps(windows):
            target[(..., *inside)] += columns[(slice(None), slice(None), *tap, slice(None), *out)]

    run(work, parts(dy.shape[0], groups * w.shape[1] * math.prod(dy.shape[2:]), MOST))
    return dx


@operation()
def conv_weight_gradient(
    dy: Array, x: Array, weight_shape: Sizes, stride: Sizes, padding: Pads, dilation: Sizes, groups: int
) -> Array:
    """As `contract.Backend.conv_weight_gradient`: dy columns^T, the parts added in the order of the images."""
    windows = convolution_axes(x.shape[2:], weight_shape[2:], stride, padding, dilation)
    dweight = arrays.empty_like(dy, weight_shape)
    dy = dense(dy)
    inner = columns_inside(x, groups)
    p, q = math.prod(dy.shape[2:]), math.prod(weight_shape[1:])
    sums: dict[int, Array] = {}  # by their first image

    def work(images: slice) -> None:
        part = dy[images]
        columns = matrix(patches(x[images], groups, windows, inner), inner)
        if p < MANY_WINDOWS:
            sums[images.start] = np.matmul(image_matrix(part, groups), columns.transpose(0, 2, 1))
        else:
            columns = by_image(columns, part.shape[0])
            sums[images.start] = np.matmul(image_matrices(part, groups), columns.transpose(0, 1, 3, 2)).sum(axis=0)

    run(work, parts(x.shape[0], max(groups * q, weight_shape[0]) * p, MOST))
    total = np.zeros((groups, weight_shape[0] // groups, q), dy.dtype)
    for _, part in sorted(sums.items()):
        total += part
    kernel, own = weight_shape[2:], weight_shape[1]
    shape = (weight_shape[0], *kernel, own) if inner else weight_shape
    dweight[...] = np.moveaxis(total.reshape(shape), -1, 1) if inner else total.reshape(shape)
    return dweight
