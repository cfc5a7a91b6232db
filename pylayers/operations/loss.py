"""Losses of elements that need no kernel of their own: squared, absolute and binary cross-entropy, before reduction."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from pylayers import arrays
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.array import quiet

Array = Any
Elementwise = Literal["mse", "l1", "binary_cross_entropy", "binary_cross_entropy_with_logits"]


@quiet
def elementwise_loss(x: Array, target: Array, kind: Elementwise, pos_weight: Array | None = None) -> Array:
    """The loss of each element, x and target of one shape and dtype.

    mse (x - t)^2; l1 |x - t|; binary_cross_entropy -(t log x + (1 - t) log(1 - x)) with logarithms no less than -100;
    with_logits the same of sigmoid(x), where `pos_weight` (broadcastable) multiplies the term of t.
    ValueError for shapes that differ and, on the host, for probabilities and targets outside [0, 1].
    """
    op = kind if kind.startswith("binary") else f"{kind}_loss"
    checks.same_dtype(op, "target", target, "input", x)
    checks.shape(op, "target", target, x.shape, "reshape or broadcast it to the shape of 'input'")
    xp = arrays.namespace(x)
    if kind == "mse":
        return (x - target) ** 2
    if kind == "l1":
        return abs(x - target)
    if kind == "binary_cross_entropy":
        for name, values in (("input", x), ("target", target)):
            if xp is np and values.size and not (values.min() >= 0 and values.max() <= 1):
                found = f"values in [{values.min()}, {values.max()}]"
                raise expected(op, name, "probabilities in [0, 1]", found)
        log_x, log_rest = _logarithms(xp, x)
        return -(target * log_x + (1 - target) * log_rest)
    if pos_weight is not None:
        checks.same_dtype(op, "pos_weight", pos_weight, "input", x)
        if pos_weight.ndim > x.ndim or any(p not in (1, s) for p, s in zip(pos_weight.shape[::-1], x.shape[::-1])):
            raise expected(op, "pos_weight", f"a shape that broadcasts to {x.shape}", pos_weight.shape)
    return (1 - target) * x + _positive(target, pos_weight) * _softplus(xp, -x)


@quiet
def elementwise_loss_backward(
    dy: Array,
    x: Array,
    target: Array,
    kind: Elementwise,
    pos_weight: Array | None = None,
    needs: tuple[bool, bool] = (True, True),
) -> tuple[Array | None, Array | None]:
    """dx and dtarget, each only where `needs` says so."""
    xp = arrays.namespace(x)
    if kind in ("mse", "l1"):
        slope = 2 * (x - target) if kind == "mse" else xp.sign(x - target)
        return (dy * slope if needs[0] else None), (-dy * slope if needs[1] else None)
    dx = dtarget = None
    if kind == "binary_cross_entropy":
        if needs[0]:
            # The bound is torch's: x = 0 and x = 1 give a large gradient, not an infinite one.
            dx = dy * (x - target) / xp.maximum((1 - x) * x, x.dtype.type(1e-12))
        if needs[1]:
            log_x, log_rest = _logarithms(xp, x)
            dtarget = dy * (log_rest - log_x)
        return dx, dtarget
    sigmoid = xp.exp(-_softplus(xp, -x))
    if needs[0]:
        dx = dy * ((1 - target) - _positive(target, pos_weight) * (1 - sigmoid))
    if needs[1]:
        slope = 0 if pos_weight is None else (pos_weight - 1) * _softplus(xp, -x)
        dtarget = dy * (slope - x)
    return dx, dtarget


def _logarithms(xp: Any, x: Array) -> tuple[Array, Array]:
    """log x and log(1 - x), neither less than -100."""
    return xp.maximum(xp.log(x), x.dtype.type(-100)), xp.maximum(xp.log1p(-x), x.dtype.type(-100))


def _softplus(xp: Any, x: Array) -> Array:
    """log(1 + e^x) without overflow."""
    return xp.log1p(xp.exp(-abs(x))) + xp.maximum(x, x.dtype.type(0))


def _positive(target: Array, pos_weight: Array | None) -> Array | int:
    """What multiplies log(1 + e^-x): 1 - t + pos_weight t."""
    return 1 if pos_weight is None else 1 + (pos_weight - 1) * target
