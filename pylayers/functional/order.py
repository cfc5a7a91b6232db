"""The largest and smallest elements, where they stand, and sorting."""

from __future__ import annotations

from typing import Any, NamedTuple

from pylayers import arrays
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import maximum, minimum, tensor_method
from pylayers.functional.index import TakeAlongAxis
from pylayers.functional.reduce import Axes, axes_of, kept_shape
from pylayers.functional.shape import as_tensor, squeeze
from pylayers.operations import checks
from pylayers.operations.array import cast, quiet

Array = Any


class Ordered(NamedTuple):
    """What `max`, `min`, `sort` and `topk` return for one axis."""

    values: Tensor
    indices: Tensor


class Extreme(Record):
    """The largest or smallest element over axes; equal ones share the gradient equally."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, name: str, axes: Axes, keepdim: bool) -> Array:
        y = getattr(x, name)(axis=axes, keepdims=keepdim)
        ctx.axes, ctx.kept = axes, kept_shape(x.shape, axes)
        ctx.save(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, y = ctx.saved
        y = y.reshape(ctx.kept)
        chosen = (x == y) | ((x != x) & (y != y))
        count = chosen.sum(axis=ctx.axes, keepdims=True)
        return chosen * (dy.reshape(ctx.kept) / cast(count, dy.dtype)), None, None, None


def _extreme(name: str, input: Any, dim: Any, keepdim: bool) -> Any:
    x = as_tensor(name, input)
    if dim is None:
        _require_elements(name, x.shape)
        return Extreme.apply(x, name, tuple(range(x.ndim)), keepdim)
    if isinstance(dim, Tensor) or arrays.is_array(dim):
        return (maximum if name == "max" else minimum)(x, dim)
    indices = _places("arg" + name, x, dim, keepdim=True)
    axis = checks.axis(name, "dim", dim, x.ndim)
    values = x.clone() if x.ndim == 0 else TakeAlongAxis.apply(x, indices, axis)
    both = (values, indices)
    return Ordered(*both) if keepdim or x.ndim == 0 else Ordered(*(squeeze(y, axis) for y in both))


def _places(name: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    x = as_tensor(name, input)
    axis = None if dim is None else checks.axis(name, "dim", dim, x.ndim)
    _require_elements(name, x.shape if axis is None else x.shape[axis : axis + 1])
    return Tensor(getattr(x.array, name)(axis=axis if x.ndim else None, keepdims=keepdim))


def _require_elements(name: str, shape: tuple[int, ...]) -> None:
    if 0 in shape:
        raise expected(name, "input", "at least one element to choose from", f"shape {shape}")


@tensor_method
def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim` (values, indices) along it; with a tensor for `dim` the elementwise maximum.

    NaN is the largest. Without `dim` equal elements share the gradient, with it the first takes it all, as in torch.
    """
    return _extreme("max", input, dim, keepdim)


@tensor_method
def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element, used like `max`."""
    return _extreme("min", input, dim, keepdim)


@tensor_method
def amax(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest element over `dim`, one axis or several; equal ones share the gradient."""
    x = as_tensor("amax", input)
    axes: Axes = axes_of("amax", x, dim)
    _require_elements("amax", tuple(x.shape[axis] for axis in axes))
    return Extreme.apply(x, "max", axes, keepdim)


@tensor_method
def amin(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest element over `dim`, one axis or several; equal ones share the gradient."""
    x = as_tensor("amin", input)
    axes: Axes = axes_of("amin", x, dim)
    _require_elements("amin", tuple(x.shape[axis] for axis in axes))
    return Extreme.apply(x, "min", axes, keepdim)


@tensor_method
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """int64: where the first largest element stands along `dim`, or in C order."""
    return _places("argmax", input, dim, keepdim)


@tensor_method
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    """int64: where the first smallest element stands along `dim`, or in C order."""
    return _places("argmin", input, dim, keepdim)


@tensor_method
def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Tensor:
    """int64: the places of the elements in order along `dim`; always stable, NaN is the largest."""
    x = as_tensor("argsort", input)
    axis = checks.axis("argsort", "dim", dim, x.ndim)
    if x.ndim == 0:
        return Tensor(x.array.argsort(axis=None).reshape(()))
    if not descending:
        return Tensor(x.array.argsort(axis=axis, kind="stable"))
    xp = arrays.namespace(x.array)
    # Reversed twice, so that equal elements stay in their order.
    reversed_places = xp.flip(xp.flip(x.array, axis).argsort(axis=axis, kind="stable"), axis)
    return Tensor(x.shape[axis] - 1 - reversed_places)


@tensor_method
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Ordered:
    """The elements in order along `dim` and their places, as in `argsort`."""
    x = as_tensor("sort", input)
    places = argsort(x, dim, descending)
    axis = checks.axis("sort", "dim", dim, x.ndim)
    return Ordered(x.clone() if x.ndim == 0 else TakeAlongAxis.apply(x, places, axis), places)


@tensor_method
def topk(input: Any, k: int, dim: int = -1, largest: bool = True) -> Ordered:
    """The k largest (or smallest) elements along `dim`, in order, and their places."""
    x = as_tensor("topk", input)
    axis = checks.axis("topk", "dim", dim, x.ndim)
    size = x.shape[axis] if x.ndim else 1
    if not 0 <= checks.whole("topk", "k", k, 0) <= size:
        raise expected("topk", "k", f"a number in [0, {size}]", k)
    if x.ndim == 0:
        return sort(x)
    places = argsort(x, dim, largest)[(slice(None),) * axis + (slice(0, k),)]
    return Ordered(TakeAlongAxis.apply(x, places, axis), places)
