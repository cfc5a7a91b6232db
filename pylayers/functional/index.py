"""Elements by position: indexing with its gradient, assignment, gather, where, masked_fill, one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import tensor_method
from pylayers.functional.shape import as_tensor, reshape
from pylayers.operations import checks
from pylayers.operations.array import accumulator, as_operand, cast, is_number, sum_to

Array = Any
Index = tuple[tuple[Any, ...], ...]  # steps: each is an index of what the one before it gives


def plain_index(index: Any) -> Index:
    """The index as steps with arrays for tensors and lists, each with an ellipsis.

    The ellipsis makes NumPy give a view of a single element too. Integers beside arrays are a step of their own, as in
    torch: NumPy takes them for arrays, and puts the axes of arrays that a slice separates in front.
    """
    if type(index) in (int, slice):  # the most frequent, as of loops
        return ((index, ...),)
    parts: list[Any] = []
    dots = integers = found = False
    for part in index if isinstance(index, tuple) else (index,):
        if type(part) is int:
            integers = True
        elif part is ...:
            dots = True
        elif part is not None and type(part) is not slice:
            part = _plain_part(part)
            integers = integers or _is_integer(part)
            found = found or arrays.is_array(part)
        parts.append(part)
    if not dots:
        parts.append(...)
    if not (integers and found):
        return (tuple(parts),)
    first: list[Any] = []
    for part in parts:
        if part is Ellipsis or _is_integer(part):
            first.append(part)
        else:
            boolean = isinstance(part, bool) or getattr(part, "dtype", None) == dtypes.bool_
            first += [slice(None)] * (0 if part is None else np.ndim(part) if boolean else 1)
    return tuple(first), tuple(part for part in parts if not _is_integer(part))


def _is_integer(part: Any) -> bool:
    return isinstance(part, int) and not isinstance(part, bool)  # bool is an int to Python and a mask to NumPy


def place(x: Array, index: Index) -> tuple[Array, tuple[Any, ...]]:
    """A view of x and the last step of the index, to read or to write at in that view."""
    for step in index[:-1]:
        x = x[step]
    return x, index[-1]


def _plain_part(part: Any) -> Any:
    """A part of an index; a scalar of integers becomes a Python int, as in torch."""
    if part is None or part is Ellipsis or isinstance(part, (int, slice)):
        return part
    if isinstance(part, Tensor):
        part = part.array
    elif isinstance(part, list):
        part = np.asarray([_plain_part(x) for x in part], dtype=None if part else np.int64)
    else:
        part = as_operand("getitem", part)
    if arrays.is_array(part):
        if part.dtype == dtypes.uint8:
            hint = "cast it: torch reads uint8 as a mask, NumPy as positions"
            raise expected("getitem", "index", "integers or bool", "dtype uint8", hint, TypeError)
        if part.dtype.kind not in "iub":
            raise expected("getitem", "index", "integers or bool", f"dtype {part.dtype.name}", error=TypeError)
        if part.ndim == 0 and part.dtype.kind != "b":
            return int(part)
    return part


def _is_basic(index: Index) -> bool:
    """Whether the index gives a view, and so no element twice."""
    return all(part is None or part is Ellipsis or isinstance(part, slice) or _is_integer(part) for part in index[-1])


def _kept(ctx: Record, index: Index) -> Index:
    """The index for backward, safe from changes of its arrays."""
    if not any(ctx.needs_input_grad):
        return ()
    return tuple(tuple(part.copy() if arrays.is_array(part) else part for part in step) for step in index)


def _scatter(shape: tuple[int, ...], index: Index, dy: Array) -> Array:
    """Zeros of `shape` with dy added at the index, as often as it names an element."""
    xp, basic = arrays.namespace(dy), _is_basic(index)
    dx = xp.zeros(shape, dy.dtype if basic else accumulator(dy.dtype))
    view, last = place(dx, index)
    if basic:
        view[last] = dy
        return dx
    xp.add.at(view, last, cast(dy, dx.dtype))
    return cast(dx, dy.dtype)


class GetItem(Record):
    """x[index]: a view for integers and slices, a copy for arrays."""

    @staticmethod
    def forward(ctx: Any, x: Array, index: Index) -> Array:
        ctx.shape, ctx.index = x.shape, _kept(ctx, index)
        view, last = place(x, index)
        return view[last]

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return _scatter(ctx.shape, ctx.index, dy), None


class SetItem(Record):
    """x with x[index] = value, in the memory of x."""

    @staticmethod
    def forward(ctx: Any, x: Array, index: Index, value: Array) -> Array:
        ctx.index, ctx.value_shape = _kept(ctx, index), np.shape(value)
        view, last = place(x, index)
        view[last] = value
        return x

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, None, Array | None]:
        dvalue = None
        if ctx.needs_input_grad[2]:
            view, last = place(dy, ctx.index)
            dvalue = view[last]
            # Assignment drops leading axes of size 1.
            dvalue = sum_to(dvalue, ctx.value_shape[max(0, len(ctx.value_shape) - dvalue.ndim) :])
            dvalue = dvalue.reshape(ctx.value_shape)
        if not ctx.needs_input_grad[0]:
            return None, None, dvalue
        dx = dy.copy()
        view, last = place(dx, ctx.index)
        view[last] = 0
        return dx, None, dvalue


class TakeAlongAxis(Record):
    """y[.., i, ..] = x[.., indices[.., i, ..], ..] along an axis."""

    @staticmethod
    def forward(ctx: Any, x: Array, indices: Array, axis: int) -> Array:
        index = list(arrays.namespace(x).indices(indices.shape, sparse=True))
        index[axis] = indices
        ctx.shape, ctx.index = x.shape, _kept(ctx, (tuple(index),))
        return x[tuple(index)]

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None]:
        return _scatter(ctx.shape, ctx.index, dy), None, None


class Where(Record):
    """x where the condition holds, else y."""

    @staticmethod
    def forward(ctx: Any, condition: Array, x: Array, y: Array) -> Array:
        ctx.save(condition)
        dtype = dtypes.result_type("where", x, y)
        dtypes.require_supported("where", "input", dtype)
        x, y = (dtypes.held("where", "input", v, dtype) if is_number(v) else cast(v, dtype) for v in (x, y))
        xp = arrays.namespace(condition)
        try:
            return xp.where(condition, x, y).astype(dtype, copy=False)
        except ValueError:
            shapes = f"{np.shape(condition)}, {np.shape(x)} and {np.shape(y)}"
            raise expected("where", "input", "shapes that broadcast", shapes) from None

    @staticmethod
    def backward(ctx: Any, dz: Array) -> tuple[None, Array | None, Array | None]:
        (condition,) = ctx.saved
        xp = arrays.namespace(dz)
        _, needs_x, needs_y = ctx.needs_input_grad
        return None, xp.where(condition, dz, 0) if needs_x else None, xp.where(condition, 0, dz) if needs_y else None


@tensor_method("__getitem__")
def getitem(input: Tensor, index: Any) -> Tensor:
    """input[index] with torch's rules: integers, slices, None and ... give a view; integer and bool arrays a copy.

    IndexError for positions outside the tensor, TypeError for an index of another dtype.
    """
    try:
        return GetItem.apply(input, plain_index(index))
    except IndexError as error:
        raise expected("getitem", "index", f"positions inside shape {input.shape}", error, error=IndexError) from None


@tensor_method
def gather(input: Any, dim: int, index: Any) -> Tensor:
    """y[i, j, ..] = input[index[i, j, ..], j, ..] for dim 0, and so on: index has the rank of the input."""
    x, chosen = as_tensor("gather", input), as_tensor("gather", index)
    axis = checks.axis("gather", "dim", dim, x.ndim)
    checks.integer("gather", "index", chosen.array)
    if x.ndim == 0 or chosen.ndim == 0:  # a scalar counts as a vector of one
        x, flat = reshape(x, x.shape or (1,)), reshape(chosen, chosen.shape or (1,))
        return reshape(gather(x, dim, flat), chosen.shape)
    if chosen.ndim != x.ndim or any(a > b for i, (a, b) in enumerate(zip(chosen.shape, x.shape)) if i != axis):
        raise expected("gather", "index", f"a shape within {x.shape} outside axis {axis}", chosen.shape)
    if chosen.array.size and (chosen.array.min() < 0 or chosen.array.max() >= x.shape[axis]):
        found = f"{chosen.array.min()} to {chosen.array.max()}"
        raise expected("gather", "index", f"positions in [0, {x.shape[axis]})", found, error=IndexError)
    return TakeAlongAxis.apply(x, chosen, axis)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where the bool condition holds, else other; shapes broadcast. The condition alone gives its `nonzero`."""
    mask = as_tensor("where", condition)
    if mask.dtype != dtypes.bool_:
        raise expected("where", "condition", "dtype bool", mask.dtype.name, error=TypeError)
    if input is None and other is None:
        return nonzero(mask, as_tuple=True)
    return Where.apply(mask, input, other)


@tensor_method("where")
def _where_method(input: Tensor, condition: Any, other: Any) -> Tensor:
    return where(condition, input, other)


@tensor_method
def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """`value` where the bool mask holds, else input, whose dtype stays; ValueError where it does not hold it."""
    x, number = as_tensor("masked_fill", input), value.item() if isinstance(value, Tensor) else value
    if isinstance(number, float) and not x.is_floating_point():
        raise expected("masked_fill", "value", f"a number that {x.dtype.name} holds", number, error=TypeError)
    return where(mask, dtypes.held("masked_fill", "value", number, x.dtype), x)


@tensor_method
def nonzero(input: Any, as_tuple: bool = False) -> Any:
    """The positions of elements that are not 0: (n, ndim), or a tuple with one vector for each axis."""
    x = as_tensor("nonzero", input).array
    if x.ndim == 0:
        found = Tensor(x.reshape(1).nonzero()[0])
        return (found,) if as_tuple else found[:, None][:, :0]
    positions = [Tensor(p) for p in x.nonzero()]
    return tuple(positions) if as_tuple else Tensor(arrays.namespace(x).stack([p.array for p in positions], axis=1))


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes): 1 at each label, else 0; -1 takes the largest label + 1.

    TypeError unless labels are integers, IndexError for a label outside [0, num_classes).
    """
    labels = as_tensor("one_hot", tensor).array
    checks.integer("one_hot", "tensor", labels)
    largest = int(labels.max()) if labels.size else -1
    if num_classes == -1:
        num_classes = largest + 1
    if labels.size and (labels.min() < 0 or largest >= num_classes):
        found = f"{labels.min()} to {largest}"
        raise expected("one_hot", "tensor", f"labels in [0, {num_classes})", found, error=IndexError)
    checks.whole("one_hot", "num_classes", num_classes, 1)
    classes = arrays.namespace(labels).arange(num_classes)
    return Tensor((labels[..., None] == classes).astype(np.int64))
