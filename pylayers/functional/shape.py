"""Views of the same memory: reshape, view, flatten, squeeze, permute, transpose, expand."""

from __future__ import annotations

import math
from typing import Any

from pylayers import arrays
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import tensor_method
from pylayers.operations import checks
from pylayers.operations.array import ShapeError, as_operand

Array = Any


def as_tensor(op: str, x: Any) -> Tensor:
    """x itself, or a constant Tensor on the memory of an array."""
    return x if isinstance(x, Tensor) else Tensor(as_operand(op, x))


def sizes(op: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3), f((2, 3)) and f([2, 3])."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    return tuple(checks.whole(op, "shape", size, -(2**63)) for size in given)


class Reshape(Record):
    """The same elements in C order under another shape; a view where the strides allow it."""

    @staticmethod
    def forward(ctx: Any, x: Array, shape: tuple[int, ...]) -> Array:
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return dy.reshape(ctx.shape), None


class Permute(Record):
    """The axes in another order, as a view."""

    @staticmethod
    def forward(ctx: Any, x: Array, axes: tuple[int, ...]) -> Array:
        ctx.inverse = tuple(sorted(range(len(axes)), key=axes.__getitem__))
        return x.transpose(axes)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return dy.transpose(ctx.inverse), None


class Expand(Record):
    """Axes of size 1 stretched, as a view of stride 0; the tape sums the gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Array, shape: tuple[int, ...]) -> Array:
        return arrays.namespace(x).broadcast_to(x, shape)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return dy, None


def _resolved(input: Tensor, given: tuple[Any, ...], op: str) -> tuple[int, ...]:
    """The sizes with -1 worked out; ShapeError, in torch's words, when the elements do not fit."""
    shape = sizes(op, given)
    count = input.array.size
    known = math.prod(size for size in shape if size != -1)
    if shape.count(-1) > 1:
        raise ShapeError("only one dimension can be inferred")
    if -1 in shape and known == 0 and count == 0:
        raise ShapeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1"
            " can be any value and is ambiguous"
        )
    fits = min(shape, default=0) >= -1 and (known > 0 and count % known == 0 if -1 in shape else known == count)
    if not fits:
        raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return tuple(count // known if size == -1 else size for size in shape)


@tensor_method
def reshape(input: Any, *shape: Any) -> Tensor:
    """The same elements under another shape, one size of which may be -1; a view where the strides allow it."""
    input = as_tensor("reshape", input)
    return Reshape.apply(input, _resolved(input, shape, "reshape"))


@tensor_method
def view(input: Any, *shape: Any) -> Tensor:
    """`reshape` that never copies: ValueError, in torch's words, where the strides would need it."""
    x = as_tensor("view", input)
    result = Reshape.apply(x, _resolved(x, shape, "view"))
    if result.version is not x.version:
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two"
            " contiguous subspaces). Use .reshape(...) instead."
        )
    return result


@tensor_method
def view_as(input: Any, other: Any) -> Tensor:
    """`view` with the shape of `other`."""
    return view(input, other.shape)


@tensor_method
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one; a scalar becomes one element."""
    x = as_tensor("flatten", input)
    first, last = (checks.axis("flatten", n, d, x.ndim) for n, d in (("start_dim", start_dim), ("end_dim", end_dim)))
    if first > last:
        raise expected("flatten", "start_dim", f"an axis not after end_dim {end_dim}", start_dim)
    return reshape(x, x.shape[:first] + (math.prod(x.shape[first : last + 1]),) + x.shape[last + 1 :])


@tensor_method
def squeeze(input: Any, dim: Any = None) -> Tensor:
    """Without its axes of size 1, or without those of them that `dim` names."""
    x = as_tensor("squeeze", input)
    named = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    dropped = {checks.axis("squeeze", "dim", d, x.ndim) for d in named}
    return Reshape.apply(x, tuple(s for i, s in enumerate(x.shape) if s != 1 or i not in dropped))


@tensor_method
def unsqueeze(input: Any, dim: int) -> Tensor:
    """With a new axis of size 1 at `dim`."""
    x = as_tensor("unsqueeze", input)
    at = checks.axis("unsqueeze", "dim", dim, x.ndim + 1)
    return Reshape.apply(x, x.shape[:at] + (1,) + x.shape[at:])


@tensor_method
def permute(input: Any, *dims: Any) -> Tensor:
    """The axes in the order of `dims`, as a view."""
    x = as_tensor("permute", input)
    axes = tuple(checks.axis("permute", "dims", d, x.ndim) for d in sizes("permute", dims))
    if sorted(axes) != list(range(x.ndim)):
        raise expected("permute", "dims", f"each of {x.ndim} axes once", dims)
    return Permute.apply(x, axes)


@tensor_method("transpose", "swapaxes")
def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged, as a view."""
    x = as_tensor("transpose", input)
    a, b = (checks.axis("transpose", n, d, x.ndim) for n, d in (("dim0", dim0), ("dim1", dim1)))
    axes = list(range(x.ndim))
    if axes:
        axes[a], axes[b] = b, a
    return Permute.apply(x, tuple(axes))


@tensor_method
def t(input: Any) -> Tensor:
    """The transpose of a matrix; a vector or a scalar as it is."""
    x = as_tensor("t", input)
    if x.ndim > 2:
        raise expected("t", "input", "at most 2 axes", x.shape)
    return _reversed(x)


def _reversed(x: Tensor) -> Tensor:
    return Permute.apply(x, tuple(reversed(range(x.ndim))))


tensor_method("T")(property(_reversed, doc="The axes in reverse order, as a view."))
tensor_method("mT")(property(lambda x: transpose(x, -2, -1), doc="The last two axes exchanged, as a view."))


@tensor_method
def expand(input: Any, *shape: Any) -> Tensor:
    """Axes of size 1 stretched and new ones in front, as a view of stride 0; -1 keeps a size."""
    x = as_tensor("expand", input)
    wanted = sizes("expand", shape)
    extra = len(wanted) - x.ndim
    old = (1,) * extra + x.shape
    full = tuple(o if w == -1 and i >= extra else w for i, (o, w) in enumerate(zip(old, wanted, strict=False)))
    if extra < 0 or any(w < 0 or (w != o and o != 1) for o, w in zip(old, full, strict=True)):
        raise expected("expand", "shape", f"sizes that the shape {x.shape} can be stretched to", wanted)
    return Expand.apply(x, full)


@tensor_method
def expand_as(input: Any, other: Any) -> Tensor:
    """`expand` to the shape of `other`."""
    return expand(input, other.shape)
