"""Changes of a tensor in place: every alias sees them, and the tape records or refuses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Tensor, increment_version
from pylayers.context import grad_enabled
from pylayers.errors import expected
from pylayers.functional import array as arithmetic
from pylayers.functional.index import Index, SetItem, masked_fill, place, plain_index
from pylayers.functional.shape import as_tensor
from pylayers.operations.array import quiet
from pylayers.random import Generator, default_generator

Array = Any


def _records(x: Tensor, *others: Any) -> bool:
    """Whether the tape must record a change of x; RuntimeError, in torch's words, where x is a leaf."""
    if not grad_enabled.get() or not any(isinstance(t, Tensor) and t.requires_grad for t in (x, *others)):
        return False
    if x.requires_grad and x.grad_fn is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    node = x.grad_fn
    while node is not None and node.is_view:
        target = next(edge[0] for edge in node.edges if edge is not None)
        if isinstance(target, Tensor):
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        node = target
    return True


def _require_writable(op: str, x: Tensor) -> None:
    array = x.array
    repeated = any(stride == 0 and size > 1 for stride, size in zip(array.strides, array.shape, strict=True))
    if repeated and array.size > 0:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location."
            " Please clone() the tensor before performing the operation."
        )
    if not getattr(array.flags, "writeable", True):
        raise expected(op, "input", "memory that may be written", "a read-only array", "clone() it")


def _adopt(x: Tensor, result: Tensor) -> None:
    """Gives x the history of `result`; other views of its memory become stale, and a kept gradient is that of now."""
    before = x.grad_fn.retained if x.grad_fn is not None else None
    kept = before.pop(x.output_index, None) if before else None
    x.grad_fn, x.output_index, x._requires_grad = result.grad_fn, result.output_index, result.requires_grad
    if x.grad_fn is not None:
        x.grad_fn.is_view = False  # x now has this history for itself, whatever it was a view of
    if kept is not None:
        x.retain_grad()
    x.version.recorded += 1
    x.history = x.version.recorded


def _is_place(value: Any, x: Tensor, index: Index) -> bool:
    """Whether the value is x[index] itself after one recorded change, as ``x[index] += y`` brings it back.

    That change is all that x does not know of, and assignment puts it into the history of x.
    """
    if not isinstance(value, Tensor) or value.version is not x.version or value.history != x.version.recorded:
        return False
    if x.history != x.version.recorded - 1:
        return False
    view, last = place(x.array, index)
    here, there, pointer = value.array, view[last], arrays.library(x.array).pointer
    alike = here.dtype == there.dtype and here.shape == there.shape and here.strides == there.strides
    return alike and pointer(here) == pointer(there)


@quiet
def changed(op: str, input: Any, function: Callable[..., Tensor], *others: Any, **options: Any) -> Tensor:
    """The input, become function(input, *others) in its own memory."""
    x = as_tensor(op, input)
    recorded = _records(x, *others)
    _require_writable(op, x)
    before = x
    if recorded:
        # The record may keep the old values; the memory of x is about to hold the new ones.
        before = Tensor(x.array.copy())
        before.grad_fn, before.output_index, before._requires_grad = x.grad_fn, x.output_index, x.requires_grad
    result = function(before, *[before if other is x else other for other in others], **options)
    if result.shape != x.shape:
        raise expected(op, "other", f"a shape that broadcasts to {x.shape}", f"a result of shape {result.shape}")
    if not np.can_cast(result.dtype, x.dtype, "same_kind") and not (
        result.is_floating_point() and x.is_floating_point()
    ):
        raise expected(op, "other", f"a result that fits {x.dtype.name}", result.dtype.name, error=TypeError)
    x.array[...] = result.array
    increment_version(x)
    if recorded:
        _adopt(x, result if result.dtype == x.dtype else result.to(x.dtype))
    return x


def _in_place(name: str, function: Callable[..., Tensor], *operators: str) -> None:
    def method(self: Tensor, *others: Any, **options: Any) -> Tensor:
        return changed(name, self, function, *others, **options)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{function.__name__}` in place: the memory of the tensor changes."
    arithmetic.tensor_method(name, *operators)(method)


for _function, *_names in (
    (arithmetic.add, "add_", "__iadd__"), (arithmetic.sub, "sub_", "__isub__"), (arithmetic.mul, "mul_", "__imul__"),
    (arithmetic.div, "div_", "__itruediv__"), (arithmetic.pow, "pow_", "__ipow__"), (arithmetic.clamp, "clamp_"),
    (arithmetic.floor_divide, "floor_divide_", "__ifloordiv__"), (arithmetic.remainder, "remainder_", "__imod__"),
):  # fmt: skip
    _in_place(_names[0], _function, *_names[1:])


@arithmetic.tensor_method("__setitem__")
@quiet
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """input[index] = value, in place; value is a number, an array or a tensor that broadcasts to the place.

    Overwritten elements have gradient 0. RuntimeError, in torch's words, for leaves that require grad.
    """
    plain = plain_index(index)
    number = isinstance(value, (bool, int, float))
    source = dtypes.held("setitem", "value", value, input.dtype) if number else as_tensor("setitem", value)
    recorded = _records(input, source)
    _require_writable("setitem", input)
    try:
        if recorded:
            if _is_place(source, input, plain):
                input.history = input.version.recorded
            _adopt(input, SetItem.apply(input, plain, source))
        else:
            view, last = place(input.array, plain)
            view[last] = source.array if isinstance(source, Tensor) else source
    except IndexError as error:
        raise expected("setitem", "index", f"positions inside shape {input.shape}", error, error=IndexError) from None
    except ValueError as error:
        raise expected("setitem", "value", "a shape that broadcasts to the place", error) from None
    increment_version(input)


@arithmetic.tensor_method
def copy_(input: Tensor, src: Any) -> Tensor:
    """The values of `src`, which broadcasts and may have another dtype or device, in the memory of input."""
    source = as_tensor("copy_", src).to(device=input.device)
    setitem(input, ..., source)
    return input


@arithmetic.tensor_method
def fill_(input: Tensor, value: Any) -> Tensor:
    """`value` everywhere."""
    setitem(input, ..., value)
    return input


@arithmetic.tensor_method
def zero_(input: Tensor) -> Tensor:
    """0 everywhere."""
    return fill_(input, 0)


@arithmetic.tensor_method
def masked_fill_(input: Tensor, mask: Any, value: Any) -> Tensor:
    """`value` where the bool mask holds."""
    return changed("masked_fill_", input, masked_fill, mask, value)


@arithmetic.tensor_method
def normal_(input: Tensor, mean: float = 0, std: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Random numbers from N(mean, std^2)."""
    return copy_(input, (generator or default_generator).rng.normal(mean, std, input.shape))


@arithmetic.tensor_method
def uniform_(input: Tensor, a: float = 0, b: float = 1, *, generator: Generator | None = None) -> Tensor:
    """Random numbers from [a, b)."""
    return copy_(input, (generator or default_generator).rng.uniform(a, b, input.shape))
