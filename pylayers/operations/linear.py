"""y = activation(x weight^T + bias) and its gradients, as products with other strides."""

from __future__ import annotations

from typing import Any

from pylayers import arrays, backends
from pylayers.backends.contract import Activation
from pylayers.context import backend_name, product_precision
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.activation import ACTIVATIONS

Array = Any


def linear(x: Array, weight: Array, bias: Array | None = None, activation: Activation | None = None) -> Array:
    """y = activation(x weight^T + bias): x (..., in), weight (out, in), bias (out,) -> (..., out).

    TypeError unless all have one floating dtype and device, ValueError for shapes that disagree.
    """
    kernels = backends.compiled[backend_name.get()].get(type(x))
    if kernels is not None:
        try:
            return kernels.linear(x, weight, bias, activation, product_precision())
        except backends.REFUSALS:
            pass  # and is told below what is wrong, in the words of every backend
    checks.same_dtype("linear", "x", x, "weight", weight)
    if bias is not None:
        checks.same_dtype("linear", "bias", bias, "weight", weight)
    backend = backends.of("linear", x, weight, bias)
    checks.choice("linear", "activation", activation, (None, *ACTIVATIONS))
    size = weight.shape
    if len(size) != 2:
        raise expected("linear", "weight", "shape (out, in)", size)
    if x.ndim == 0 or x.shape[-1] != size[1]:
        raise expected("linear", "x", f"shape (..., {size[1]}) for weight {size}", x.shape)
    if bias is not None:
        checks.shape("linear", "bias", bias, size[:1])
    if x.ndim > 3:  # kernels refuse more than 8 axes, and those that lie like no batch of matrices
        y = backend.linear(arrays.folded(x), weight, bias, activation, product_precision())
        return y.reshape(*x.shape[:-1], size[0])
    return backend.linear(x, weight, bias, activation, product_precision())


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
    rows = dy if dy.ndim == 2 else arrays.folded(dy)
    dx = dweight = dbias = totals = None
    if needs[0]:
        assert weight is not None
        if saved is not None:
            saved = arrays.folded(saved)
        dx = backend.gemm(rows, weight, None, activation, saved=saved, precision=product_precision(), column_sums=sums)
        if sums:
            dx, totals = dx
        if dy.ndim != 2:
            dx = dx.reshape(*dy.shape[:-1], weight.shape[1])
    if needs[1]:
        assert x is not None
        dweight = backend.gemm(rows, arrays.folded(x), precision=product_precision(), transpose_a=True)
    if needs[2]:
        dbias = backend.column_sum(rows[:, :, None])
    return dx, dweight, dbias, totals
