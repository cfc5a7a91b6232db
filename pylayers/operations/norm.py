"""Layer and RMS normalisation over the last axes, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

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
    shape, eps = _checked("layer_norm", x, normalized_shape, {"weight": weight, "bias": bias}, eps)
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


def rms_norm(
    x: Array, normalized_shape: object, weight: Array | None = None, eps: float | None = None
) -> tuple[Array, Array]:
    """x (..., *normalized_shape), weight of normalized_shape -> y of x's shape, and each row's rstd (rows,).

    y = x / sqrt(mean(x^2) + eps) weight; eps None is the distance of 1 from the next number of what it is computed in,
    float64 or float32, as in torch. Errors as `layer_norm`.
    """
    if eps is None:
        checks.floating("rms_norm", "x", x)
        eps = float(np.finfo(np.float64 if x.dtype == np.float64 else np.float32).eps)
    shape, eps = _checked("rms_norm", x, normalized_shape, {"weight": weight}, eps)
    flat = None if weight is None else weight.reshape(-1)
    y, rstd = backends.of("rms_norm", x, weight).rms_norm_forward(_rows(x, shape), flat, eps)
    return y.reshape(x.shape), rstd


def rms_norm_backward(
    dy: Array, x: Array, rstd: Array, weight: Array | None, normalized_shape: object
) -> tuple[Array, Array]:
    """dx of x's shape, dweight of normalized_shape."""
    shape = normalized("rms_norm", normalized_shape)
    flat = None if weight is None else weight.reshape(-1)
    backend = backends.of("rms_norm", dy, x, weight)
    dx, dweight = backend.rms_norm_backward(_rows(dy, shape), _rows(x, shape), rstd, flat)
    return dx.reshape(x.shape), dweight.reshape(shape)


def _checked(
    op: str, x: Array, normalized_shape: object, parameters: dict[str, Array | None], eps: float
) -> tuple[tuple[int, ...], float]:
    """normalized_shape and eps, once everything agrees."""
    checks.floating(op, "x", x)
    shape = normalized(op, normalized_shape)
    if x.ndim < len(shape) or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise expected(op, "x", f"shape (..., {', '.join(map(str, shape))})", x.shape)
    for name, parameter in parameters.items():
        if parameter is not None:
            checks.same_dtype(op, "x", x, name, parameter)
            checks.shape(op, name, parameter, shape)
    return shape, checks.number(op, "eps", eps, math.ulp(0.0), what="a positive number")


def normalized(op: str, shape: object) -> tuple[int, ...]:
    """normalized_shape as a tuple of at least one positive integer."""
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if not sizes:
        raise expected(op, "normalized_shape", "one axis or more", shape)
    return tuple(checks.whole(op, "normalized_shape", size, 1) for size in sizes)


def _rows(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(-1, math.prod(shape))
