"""Matrix products: matmul with broadcast batches, and y = activation(x weight^T + bias), each with its gradients."""

from __future__ import annotations

import math
from typing import Any

from pylayers import arrays, backends
from pylayers.backends.protocol import Activation
from pylayers.errors import expected
from pylayers.ops import checks
from pylayers.ops.activation import ACTIVATIONS
from pylayers.ops.array import sum_to

Array = Any


def matmul(a: Array, b: Array) -> Array:
    """a (..., m, k) @ b (..., k, n) -> (..., m, n) with broadcast leading axes; a vector is a row on the left, a column
    on the right, and its axis is dropped from the result (torch.matmul).

    TypeError unless both have the same floating dtype, ValueError when k or the leading axes disagree.
    """
    checks.same_dtype("matmul", "b", b, "a", a)
    if a.ndim == 0 or b.ndim == 0:
        raise expected("matmul", "a" if a.ndim == 0 else "b", "at least one axis", "a scalar")
    rows, columns = _matrices(a, b)
    if rows.shape[-1] != columns.shape[-2]:
        raise expected("matmul", "b", f"{rows.shape[-1]} rows as 'a' has columns", f"shape {b.shape} for a {a.shape}")
    y = _product(rows, columns)
    if a.ndim == 1:
        y = y[..., 0, :]
    return y[..., 0] if b.ndim == 1 else y


def matmul_backward(
    dy: Array, a: Array, b: Array, needs: tuple[bool, bool] = (True, True)
) -> tuple[Array | None, Array | None]:
    """The gradients of `matmul` for a and b, summed over the axes along which each was broadcast."""
    rows, columns = _matrices(a, b)
    if b.ndim == 1:
        dy = dy[..., None]
    if a.ndim == 1:
        dy = dy[..., None, :]
    da = db = None
    if needs[0]:
        da = sum_to(_product(dy, columns.swapaxes(-1, -2)), rows.shape).reshape(a.shape)
    if needs[1]:
        if math.prod(columns.shape[:-2]) == 1:
            # A matrix shared by the whole batch: the batch joins the summed axis, one product and no sum after it.
            db = _product(_folded(rows).swapaxes(-1, -2), _folded(dy)).reshape(b.shape)
        else:
            db = sum_to(_product(rows.swapaxes(-1, -2), dy), columns.shape).reshape(b.shape)
    return da, db


def _matrices(a: Array, b: Array) -> tuple[Array, Array]:
    return (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)


def _folded(x: Array) -> Array:
    """(..., m, k) -> (prod * m, k)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _product(a: Array, b: Array) -> Array:
    """a (..., m, k) @ b (..., k, n) as one gemm on three axes; a broadcast batch stays a view of stride 0."""
    backend = backends.of("matmul", a, b)
    m, n = a.shape[-2], b.shape[-1]
    if math.prod(b.shape[:-2]) == 1 and a.ndim >= b.ndim:
        matrix = b.reshape(b.shape[-2:])
        return backend.gemm(_folded(a)[None], matrix[None]).reshape(*a.shape[:-1], n)
    xp = arrays.namespace(a)
    try:
        batch = xp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise expected("matmul", "b", f"leading axes that broadcast with {a.shape[:-2]}", f"{b.shape[:-2]}") from None
    # A batch broadcast as a whole stays a view of stride 0; one broadcast along some of its axes only is copied.
    a, b = (xp.broadcast_to(x, batch + x.shape[-2:]).reshape(math.prod(batch), *x.shape[-2:]) for x in (a, b))
    return backend.gemm(a, b).reshape(*batch, m, n)


def linear(x: Array, weight: Array, bias: Array | None = None, activation: Activation | None = None) -> Array:
    """y = activation(x weight^T + bias): x (..., in), weight (out, in), bias (out,) -> (..., out).

    TypeError unless all have one floating dtype and device, ValueError for shapes that disagree.
    """
    checks.same_dtype("linear", "x", x, "weight", weight)
    checks.choice("linear", "activation", activation, (None, *ACTIVATIONS))
    if weight.ndim != 2:
        raise expected("linear", "weight", "shape (out, in)", weight.shape)
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise expected("linear", "x", f"shape (..., {weight.shape[1]}) for weight {weight.shape}", x.shape)
    if bias is not None:
        checks.same_dtype("linear", "bias", bias, "weight", weight)
        checks.shape("linear", "bias", bias, weight.shape[:1])
    y = backends.of("linear", x, weight, bias).gemm(_folded(x)[None], weight.T[None], bias, activation)
    return y.reshape(*x.shape[:-1], weight.shape[0])


def linear_backward(
    dy: Array, x: Array | None, weight: Array, needs: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dy (..., out) -> dx (..., in), dweight (out, in), dbias (out,), each only where `needs` says so."""
    backend = backends.of("linear", dy, x, weight)
    rows = _folded(dy)
    dx = dweight = dbias = None
    if needs[0]:
        dx = backend.gemm(rows[None], weight[None]).reshape(*dy.shape[:-1], weight.shape[1])
    if needs[1]:
        assert x is not None
        dweight = backend.gemm(rows.T[None], _folded(x)[None])[0]
    if needs[2]:
        dbias = backend.column_sum(rows[:, :, None])
    return dx, dweight, dbias
