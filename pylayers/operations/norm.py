"""Layer normalisation over the last axes: y = (x - mean) / sqrt(variance + eps) weight + bias, and its gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pylayers import backends
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any
Moments = tuple[Array, Array]  # mean (rows,) and 1 / sqrt(variance + eps) (rows,)


def layer_norm(
    x: Array, normalized_shape: object, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> tuple[Array, Moments]:
    """x (..., *normalized_shape), weight and bias of normalized_shape -> y of x's shape, and each row's moments.

    Biased variance. TypeError for dtypes that differ, ValueError for shapes that disagree and for eps that is not
    positive.
    """
    checks.floating("layer_norm", "x", x)
    shape = normalized("layer_norm", normalized_shape)
    if x.ndim < len(shape) or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise expected("layer_norm", "x", f"shape (..., {', '.join(map(str, shape))})", x.shape)
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None:
            checks.same_dtype("layer_norm", "x", x, name, parameter)
            checks.shape("layer_norm", name, parameter, shape)
    eps = checks.number("layer_norm", "eps", eps, math.ulp(0.0), what="a positive number")
    flat_weight, flat_bias = (None if p is None else p.reshape(-1) for p in (weight, bias))
    backend = backends.of("layer_norm", x, weight, bias)
    y, mean, rstd = backend.layer_norm_forward(_rows(x, shape), flat_weight, flat_bias, eps)
    return y.reshape(x.shape), (mean, rstd)


def layer_norm_backward(
    dy: Array, x: Array, moments: Moments, weight: Array | None, normalized_shape: object
) -> tuple[Array, Array, Array]:
    """dx of x's shape, dweight and dbias of normalized_shape."""
    shape = normalized("layer_norm", normalized_shape)
    flat_weight = None if weight is None else weight.reshape(-1)
    dx, dweight, dbias = backends.of("layer_norm", dy, x, weight).layer_norm_backward(
        _rows(dy, shape), _rows(x, shape), *moments, flat_weight
    )
    return dx.reshape(x.shape), dweight.reshape(shape), dbias.reshape(shape)


def normalized(op: str, shape: object) -> tuple[int, ...]:
    """normalized_shape as a tuple of at least one positive integer."""
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if not sizes:
        raise expected(op, "normalized_shape", "one axis or more", shape)
    return tuple(checks.whole(op, "normalized_shape", size, 1) for size in sizes)


def _rows(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(-1, math.prod(shape))
