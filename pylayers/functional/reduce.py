"""Sums, means and variances over axes, cumulative sums and norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import tensor_method
from pylayers.functional.shape import as_tensor
from pylayers.operations import checks
from pylayers.operations.array import accumulator, cast, quiet

Array = Any
Axes = tuple[int, ...]


def kept_shape(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """The shape with 1 for each of the axes."""
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


class Sum(Record):
    """The sum over axes."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, axes: Axes, keepdim: bool, dtype: Any) -> Array:
        ctx.shape, ctx.kept = x.shape, kept_shape(x.shape, axes)
        summed = accumulator(x.dtype if dtype is None else dtype)
        y = x.sum(axis=axes, keepdims=keepdim, dtype=summed)
        kind = dtype or (x.dtype if x.dtype in dtypes.FLOATING else summed)
        return y.astype(kind, copy=False)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        return arrays.namespace(dy).broadcast_to(dy.reshape(ctx.kept), ctx.shape), None, None, None


class Variance(Record):
    """sum (x - mean)^2 / (count - correction) over axes, in two passes, or its square root."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, axes: Axes, correction: float, keepdim: bool, root: bool) -> Array:
        count = math.prod(x.shape[axis] for axis in axes)
        ctx.kept = kept_shape(x.shape, axes)
        wide = cast(x, accumulator(x.dtype))
        centred = wide - wide.sum(axis=axes, keepdims=True) / np.float64(count).astype(wide.dtype)
        # Zero where the correction leaves nothing: NaN or infinity, as in torch.
        ctx.divisor = np.float64(max(0.0, count - correction))
        y = (centred * centred).sum(axis=axes, keepdims=keepdim) / ctx.divisor.astype(wide.dtype)
        y = (arrays.namespace(y).sqrt(y) if root else y).astype(x.dtype, copy=False)
        ctx.save(centred, y if root else None)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        centred, y = ctx.saved
        if y is not None:
            dy = arrays.namespace(dy).where(y == 0, 0, dy / (2 * y))  # as torch: no slope at 0
        scale = (2 / ctx.divisor).astype(centred.dtype)
        return dy.reshape(ctx.kept) * centred * scale, None, None, None, None


class CumulativeSum(Record):
    """The sums of the first elements along an axis, floating ones taken in float64 and rounded once."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, axis: int) -> Array:
        ctx.axis = axis
        if x.dtype in dtypes.FLOATING:
            return arrays.namespace(x).cumsum(x, axis=axis, dtype=dtypes.float64).astype(x.dtype)
        return arrays.namespace(x).cumsum(x, axis=axis, dtype=dtypes.int64)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        xp = arrays.namespace(dy)
        sums = xp.cumsum(xp.flip(dy, ctx.axis), axis=ctx.axis, dtype=dtypes.float64)
        return xp.flip(sums, ctx.axis).astype(dy.dtype), None


class Norm(Record):
    """(sum |x|^p)^(1/p) over axes."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, p: float, axes: Axes, keepdim: bool) -> Array:
        wide = cast(abs(x), accumulator(x.dtype))
        ctx.p, ctx.kept = p, kept_shape(x.shape, axes)
        y = ((wide**p).sum(axis=axes, keepdims=keepdim) ** (1 / p)).astype(x.dtype)
        ctx.save(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, y = ctx.saved
        xp = arrays.namespace(dy)
        y, dy = y.reshape(ctx.kept), dy.reshape(ctx.kept)
        slope = xp.where(y == 0, 0, xp.sign(x) * (abs(x) / y) ** (ctx.p - 1))
        return dy * slope, None, None, None


def axes_of(op: str, x: Tensor, dim: Any) -> Axes:
    """The axes that `dim` names: all for None and for an empty tuple."""
    named = dim if isinstance(dim, (tuple, list)) else () if dim is None else (dim,)
    axes = tuple(checks.axis(op, "dim", d, x.ndim) for d in named)
    if len(set(axes)) < len(axes):
        raise expected(op, "dim", "each axis once", dim)
    return axes[: x.ndim] or tuple(range(x.ndim))


def require_floating(op: str, x: Tensor) -> None:
    if x.dtype not in dtypes.FLOATING:
        raise expected(op, "input", "a floating dtype", x.dtype.name, "cast it with .float()", TypeError)


@tensor_method
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim`, one axis or several, or over all; integers and bool give int64."""
    x = as_tensor("sum", input)
    return Sum.apply(x, axes_of("sum", x, dim), keepdim, None if dtype is None else dtypes.as_dtype("sum", dtype))


@tensor_method
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim`, one axis or several, or over all. TypeError for integers."""
    x = as_tensor("mean", input)
    if dtype is not None:
        x = x.to(dtype)
    require_floating("mean", x)
    axes = axes_of("mean", x, dim)
    count = math.prod(x.shape[axis] for axis in axes)
    if x.dtype in dtypes.HALVES:  # the sum may not fit where the mean does
        return (Sum.apply(x, axes, keepdim, dtypes.float32) / count).to(x.dtype)
    return Sum.apply(x, axes, keepdim, None) / count


@tensor_method
def var(input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False, unbiased: bool = True) -> Tensor:
    """The variance over `dim` or all: sum (x - mean)^2 / (count - correction); unbiased=False is correction 0."""
    x = as_tensor("var", input)
    require_floating("var", x)
    return Variance.apply(x, axes_of("var", x, dim), correction if unbiased else 0, keepdim, False)


@tensor_method
def std(input: Any, dim: Any = None, *, correction: float = 1, keepdim: bool = False, unbiased: bool = True) -> Tensor:
    """The square root of `var`."""
    x = as_tensor("std", input)
    require_floating("std", x)
    return Variance.apply(x, axes_of("std", x, dim), correction if unbiased else 0, keepdim, True)


@tensor_method
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of the first elements along `dim`; integers and bool give int64."""
    x = as_tensor("cumsum", input)
    axis = checks.axis("cumsum", "dim", dim, x.ndim)
    y = CumulativeSum.apply((x if dtype is None else x.to(dtype)).reshape(x.shape or (1,)), axis)
    return y.reshape(x.shape)


@tensor_method
def norm(input: Any, p: float = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """(sum |x|^p)^(1/p) over `dim` or all with p >= 1. The gradient is 0 where the norm is."""
    x = as_tensor("norm", input)
    require_floating("norm", x)
    return Norm.apply(x, checks.number("norm", "p", p, 1.0, math.inf), axes_of("norm", x, dim), keepdim)


@tensor_method
def all(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether no element over `dim` or all is zero."""
    x = as_tensor("all", input)
    return Tensor(x.array.all(axis=axes_of("all", x, dim), keepdims=keepdim))


@tensor_method
def any(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element over `dim` or all is not zero."""
    x = as_tensor("any", input)
    return Tensor(x.array.any(axis=axes_of("any", x, dim), keepdims=keepdim))


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol |other| for every element."""
    x, y = as_tensor("allclose", input).array, as_tensor("allclose", other).array
    try:
        return bool(np.all(np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)))
    except ValueError:
        raise expected("allclose", "other", f"a shape that broadcasts with {x.shape}", y.shape) from None


@tensor_method
def equal(input: Any, other: Any) -> bool:
    """Whether both have the same shape and the same elements."""
    x, y = as_tensor("equal", input).array, as_tensor("equal", other).array
    return bool(x.shape == y.shape and (x == y).all())
