"""New memory from whole arrays: cat, stack, split, repeat, clone, contiguous, tril, triu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import tensor_method
from pylayers.functional.index import getitem
from pylayers.functional.shape import as_tensor, sizes, unsqueeze
from pylayers.operations import checks
from pylayers.operations.array import cast

Array = Any


class Copy(Record):
    """The same values in new memory, in the memory order of x or in C order."""

    @staticmethod
    def forward(ctx: Any, x: Array, order: str) -> Array:
        return x.copy(order)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return dy, None


class Repeat(Record):
    """The whole array repeated along each axis."""

    @staticmethod
    def forward(ctx: Any, x: Array, counts: tuple[int, ...]) -> Array:
        shape = (1,) * (len(counts) - x.ndim) + x.shape
        ctx.blocks = tuple(size for pair in zip(counts, shape, strict=True) for size in pair)
        return arrays.namespace(x).tile(x, counts)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        return dy.reshape(ctx.blocks).sum(axis=tuple(range(0, len(ctx.blocks), 2)), dtype=dy.dtype), None


class Cat(Record):
    """Arrays one after the other along an axis."""

    @staticmethod
    def forward(ctx: Any, axis: int, *xs: Array) -> Array:
        ctx.axis = axis
        ctx.ends = np.cumsum([x.shape[axis] for x in xs])[:-1].tolist()
        dtype = dtypes.result_type("cat", *xs)
        return arrays.namespace(xs[0]).concatenate([cast(x, dtype) for x in xs], axis)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        return None, *arrays.namespace(dy).split(dy, ctx.ends, ctx.axis)


class Triangle(Record):
    """The elements on and above, or on and below, the k-th diagonal of the last two axes; 0 elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Array, name: str, diagonal: int) -> Array:
        ctx.name, ctx.diagonal = name, diagonal
        return getattr(arrays.namespace(x), name)(x, diagonal)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None]:
        return getattr(arrays.namespace(dy), ctx.name)(dy, ctx.diagonal), None, None


@tensor_method
def contiguous(input: Any) -> Tensor:
    """The tensor itself if its elements lie in C order, else a copy in which they do."""
    x = as_tensor("contiguous", input)
    return x if x.is_contiguous() else Copy.apply(x, "C")


@tensor_method
def clone(input: Any) -> Tensor:
    """A copy, on the tape."""
    return Copy.apply(as_tensor("clone", input), "K")


@tensor_method
def repeat(input: Any, *counts: Any) -> Tensor:
    """The tensor repeated counts[i] times along axis i; more counts than axes add axes in front."""
    x = as_tensor("repeat", input)
    times = sizes("repeat", counts)
    if len(times) < x.ndim or min(times, default=0) < 0:
        raise expected("repeat", "counts", f"at least {x.ndim} numbers >= 0", times)
    return Repeat.apply(x, times)


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors one after the other along `dim`, with the dtype that holds all.

    ValueError unless their shapes agree on the other axes; empty vectors, of shape (0,), are left out as in torch.
    """
    xs = [as_tensor("cat", x) for x in tensors]
    if not xs:
        raise expected("cat", "tensors", "at least one tensor", "none")
    xs = [x for x in xs if x.shape != (0,)] or xs[:1]
    if xs[0].ndim == 0:
        raise expected("cat", "tensors", "tensors with axes", "a scalar", "stack joins scalars")
    axis = checks.axis("cat", "dim", dim, xs[0].ndim)
    for x in xs:
        if x.ndim != xs[0].ndim or any(a != b for i, (a, b) in enumerate(zip(x.shape, xs[0].shape)) if i != axis):
            raise expected("cat", "tensors", f"shapes that agree outside axis {axis}", [y.shape for y in xs])
    return Cat.apply(axis, *xs)


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis at `dim`."""
    xs = [as_tensor("stack", x) for x in tensors]
    if not xs or any(x.shape != xs[0].shape for x in xs):
        raise expected("stack", "tensors", "at least one tensor, all of one shape", [x.shape for x in xs])
    axis = checks.axis("stack", "dim", dim, xs[0].ndim + 1)
    return Cat.apply(axis, *[unsqueeze(x, axis) for x in xs])


def _axis(op: str, name: str, x: Tensor, dim: int) -> int:
    """The axis to take apart, counted from the front; ValueError for a scalar, which has none."""
    if x.ndim == 0:
        raise expected(op, name, "at least 1 axis", "a scalar")
    return checks.axis(op, "dim", dim, x.ndim)


@tensor_method
def split(tensor: Any, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of `split_size` each along `dim`, the last one shorter, or of the given sizes."""
    x = as_tensor("split", tensor)
    axis = _axis("split", "tensor", x, dim)
    size = x.shape[axis]
    if isinstance(split_size_or_sections, int):
        step = checks.whole("split", "split_size_or_sections", split_size_or_sections, 1)
        sections = [min(step, size - start) for start in range(0, size, step)] or [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size or min(sections, default=0) < 0:
            raise expected("split", "split_size_or_sections", f"sizes that sum to {size}", sections)
    starts = np.cumsum([0, *sections]).tolist()
    before = (slice(None),) * axis
    return tuple(getitem(x, (*before, slice(a, b))) for a, b in zip(starts, starts[1:], strict=False))


@tensor_method
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`, the last one shorter."""
    x = as_tensor("chunk", input)
    checks.whole("chunk", "chunks", chunks, 1)
    return split(x, max(1, -(-x.shape[_axis("chunk", "input", x, dim)] // chunks)), dim)


@tensor_method
def unbind(input: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along `dim`, without that axis, as views."""
    x = as_tensor("unbind", input)
    before = (slice(None),) * _axis("unbind", "input", x, dim)
    return tuple(getitem(x, (*before, i)) for i in range(x.shape[len(before)]))


def _triangle(name: str, input: Any, diagonal: int) -> Tensor:
    x = as_tensor(name, input)
    if x.ndim < 2:
        raise expected(name, "input", "at least 2 axes", x.shape)
    return Triangle.apply(x, name, checks.whole(name, "diagonal", diagonal, -(2**63)))


@tensor_method
def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The elements on and below the diagonal of the last two axes; 0 above."""
    return _triangle("tril", input, diagonal)


@tensor_method
def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The elements on and above the diagonal of the last two axes; 0 below."""
    return _triangle("triu", input, diagonal)
