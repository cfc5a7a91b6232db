"""softmax and log_softmax over one axis."""

from __future__ import annotations

import warnings
from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.functional.array import tensor_method
from pylayers.functional.shape import as_tensor
from pylayers.operations.softmax import softmax as normalize
from pylayers.operations.softmax import softmax_backward

Array = Any


class Softmax(Record):
    """y = exp(x) / sum(exp(x)) along an axis, or its logarithm."""

    @staticmethod
    def forward(ctx: Any, x: Array, axis: int, log: bool) -> Array:
        y = normalize(x, axis, log)
        ctx.axis, ctx.log = axis, log
        ctx.save(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None]:
        return softmax_backward(dy, ctx.saved[0], ctx.axis, ctx.log), None, None


@tensor_method
def softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `dim`, after a cast to `dtype` if given; any shape.

    Without `dim` torch's choice is taken with a warning: axis 0 for 0, 1 or 3 axes, else axis 1.
    """
    return _softmax("softmax", input, dim, dtype, False)


@tensor_method
def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, computed without overflow or cancellation; any shape."""
    return _softmax("log_softmax", input, dim, dtype, True)


def _softmax(op: str, input: Any, dim: int | None, dtype: Any, log: bool) -> Tensor:
    x = as_tensor(op, input)
    if dim is None:
        warnings.warn(f"{op}: give dim; the implicit choice is deprecated", stacklevel=3)
        dim = 0 if x.ndim in (0, 1, 3) else 1
    return Softmax.apply(x if dtype is None else x.to(dtype), dim, log)
