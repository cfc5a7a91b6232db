"""y = activation(x weight^T + bias) and its gradients, as products with other strides."""

from __future__ import annotations

import math
from typing import Any

from pylayers import arrays, backends
from pylayers.backends.protocol import Activation
from pylayers.context import product_precision
from pylayers.errors import expected
from pylayers.ops import checks
from pylayers.ops.activation import ACTIVATIONS

Array = Any


def linear(x: Array, weight: Array, bias: Array | None = None, activation: Activation | None = None) -> Array:
    """y = activation(x weight^T + bias): x (..., in), weight (out, in), bias (out,) -> (..., out).

    TypeError unless all have one floating dtype and device, ValueError for shapes that disagree.
    """
    backend = backends.common(x, weight, bias)
    if backend is None:
        checks.same_dtype("linear", "x", x, "weight", weight)
        if bias is not None:
            checks.same_dtype("linear", "bias", bias, "weight", weight)
        backend = backends.of("linear", x, weight, bias)
    if activation is not None:
        checks.choice("linear", "activation", activation, (None, *ACTIVATIONS))
    shape, size = x.shape, weight.shape
    if len(size) != 2:
        raise expected("linear", "weight", "shape (out, in)", size)
    if not shape or shape[-1] != size[1]:
        raise expected("linear", "x", f"shape (..., {size[1]}) for weight {size}", shape)
    if bias is not None and bias.shape != size[:1]:
        checks.shape("linear", "bias", bias, size[:1])
    rank = len(shape)
    if rank == 3 and not foldable(x):  # as it lies, each batch by the same weight
        weight = arrays.namespace(x).broadcast_to(weight, (shape[0], *size))
    elif rank != 2:
        y = backend.gemm(folded(x), weight, bias, activation, precision=product_precision(), transpose_b=True)
        return y.reshape(*shape[:-1], size[0])
    return backend.gemm(x, weight, bias, activation, precision=product_precision(), transpose_b=True)


def linear_backward(
    dy: Array,
    x: Array | None,
    weight: Array | None,
    needs: tuple[bool, bool, bool] = (True, True, True),
    saved: Array | None = None,
    activation: Activation | None = None,
    sums: bool = False,
) -> tuple[Array | None, Array | None, Array | None, Array | None]:
    """dy (..., out) -> dx (..., in), dweight (out, in), dbias (out,), each only where `needs` says so.

    Where x is itself the result of an activation, its `saved` (..., in) makes dx the gradient for what the activation
    was applied to, in the same product: dx = (dy weight) activation'(saved). The fourth result is None, or with `sums`
    the sums of dx over all axes but the last, float32 (in,), from that product too: the bias gradient of what made x.
    """
    backend = backends.of("linear", dy, x, weight)
    rows = dy if dy.ndim == 2 else folded(dy)
    dx = dweight = dbias = totals = None
    if needs[0]:
        assert weight is not None
        if saved is not None:
            saved = folded(saved)
        dx = backend.gemm(rows, weight, None, activation, saved=saved, precision=product_precision(), column_sums=sums)
        if sums:
            dx, totals = dx
        if dy.ndim != 2:
            dx = dx.reshape(*dy.shape[:-1], weight.shape[1])
    if needs[1]:
        assert x is not None
        dweight = backend.gemm(rows, folded(x), precision=product_precision(), transpose_a=True)
    if needs[2]:
        dbias = backend.column_sum(rows[:, :, None])
    return dx, dweight, dbias, totals


def folded(x: Array) -> Array:
    """(..., m, k) -> (prod * m, k)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def foldable(x: Array) -> bool:
    """Whether the axes of x (..., m, k) before the last have one common stride, so that `folded` is a view."""
    shape, strides = x.shape, x.strides
    axes = [axis for axis in range(x.ndim - 1) if shape[axis] != 1]
    return all(strides[i] == shape[j] * strides[j] for i, j in zip(axes, axes[1:]))
