"""y = exp(x) / sum(exp(x)) over one axis, or its logarithm, and the gradient."""

from __future__ import annotations

from typing import Any

from pylayers import arrays, backends
from pylayers.operations import checks

Array = Any


def softmax(x: Array, axis: int = -1, log: bool = False) -> Array:
    """Softmax of x over `axis` (its logarithm with `log`), any shape; IndexError for an axis that x does not have."""
    op = "log_softmax" if log else "softmax"
    checks.floating(op, "x", x)
    axis = checks.axis(op, "axis", axis, x.ndim)
    if x.size == 0:
        return arrays.empty_like(x)
    return _over_rows(lambda x: backends.of(op, x).softmax_forward(x, log), axis, x)


def softmax_backward(dy: Array, y: Array, axis: int = -1, log: bool = False) -> Array:
    """dx from dy and the result y of `softmax` with the same axis and `log`."""
    axis = checks.axis("softmax", "axis", axis, y.ndim)
    if y.size == 0:
        return arrays.empty_like(y)
    return _over_rows(lambda dy, y: backends.of("softmax", dy, y).softmax_backward(dy, y, log), axis, dy, y)


def _over_rows(function: Any, axis: int, *operands: Array) -> Array:
    """function on the operands as matrices whose rows run along `axis`, its result in their shape again."""
    xp = arrays.namespace(operands[0])
    if operands[0].ndim == 0:
        return function(*(x.reshape(1, 1) for x in operands)).reshape(())
    moved = [xp.moveaxis(x, axis, -1) for x in operands]
    y = function(*(x.reshape(-1, x.shape[-1]) for x in moved))
    return xp.moveaxis(y.reshape(moved[0].shape), -1, axis)
