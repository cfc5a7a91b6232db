"""Cross-entropy between class scores and integer labels, with the gradient computed on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import arrays, backends
from pylayers.backends.contract import Loss, Reduction
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any

REDUCTIONS: tuple[Reduction, ...] = ("none", "mean", "sum")


def cross_entropy(
    x: Array,
    labels: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    kind: Loss = "logits",
    gradient: bool = True,
    op: str = "cross_entropy",
) -> tuple[Array, Array, Array | None]:
    """x (N, C), (C,) or (N, C, d1, ...), labels (N,), () or (N, d1, ...) -> loss, and the pair that
    `cross_entropy_backward` wants: the normalizer (1,) and d(row loss)/dx (rows, C), None unless `gradient`.

    The loss has the labels' shape for "none" and shape () otherwise. The class axis is 1 (0 of a vector).
    TypeError for labels that are not integers, IndexError for a label that is neither a class nor `ignore_index` (host
    arrays; on a GPU such a row's loss is NaN, since a check would wait for the device).
    """
    checks.floating(op, "x", x)
    checks.integer(op, "labels", labels, "class probabilities as floats need the shape of x")
    checks.choice(op, "reduction", reduction, REDUCTIONS)
    smoothing = checks.number(op, "label_smoothing", label_smoothing, 0.0, 1.0 + 1e-15, "a number in [0, 1]")
    ignore_index = checks.whole(op, "ignore_index", ignore_index, -(2**63))
    if x.ndim == 0:
        raise expected(op, "x", "shape (N, C) or (C,)", x.shape)
    classes = x.shape[class_axis(x)]
    checks.shape(op, "labels", labels, x.shape[:1] * (x.ndim > 1) + x.shape[2:], f"x has shape {tuple(x.shape)}")
    if weight is not None:
        checks.same_dtype(op, "weight", weight, "x", x)
        checks.shape(op, "weight", weight, (classes,))
    if isinstance(labels, (np.ndarray, np.generic)):
        check_labels(op, labels, classes, ignore_index)
    if labels.dtype.name not in ("int32", "int64"):
        labels = labels.astype(np.int64)
    loss, normalizer, dx = backends.of(op, x, labels, weight).cross_entropy_forward(
        _rows(x), labels.reshape(-1), weight, ignore_index, smoothing, reduction, kind, gradient
    )
    return loss.reshape(labels.shape if reduction == "none" else ()), normalizer, dx


def cross_entropy_backward(dloss: Array, gradient: Array, normalizer: Array, x_shape: tuple[int, ...]) -> Array:
    """dx of x_shape from dloss of the loss's shape and what `cross_entropy` returned."""
    xp = arrays.namespace(dloss)
    rows = gradient.shape[0]
    dloss = xp.broadcast_to(dloss, (rows,)) if dloss.ndim == 0 else dloss.reshape(rows)
    dx = backends.of("cross_entropy", dloss, gradient).cross_entropy_backward(dloss, gradient, normalizer)
    if len(x_shape) <= 2:
        return dx.reshape(x_shape)
    return xp.moveaxis(dx.reshape(x_shape[0], *x_shape[2:], x_shape[1]), -1, 1)


def class_axis(x: Array) -> int:
    """The axis of x with one entry for each class."""
    return min(1, x.ndim - 1)


def check_labels(op: str, labels: Array, classes: int, ignore_index: int | None = None) -> None:
    """IndexError naming the first label outside [0, classes) that is not `ignore_index`."""
    if labels.size == 0:
        return
    if labels.min() >= 0 and labels.max() < classes:
        return
    wrong = (labels < 0) | (labels >= classes)
    if ignore_index is not None:
        wrong &= labels.astype(np.int64) != ignore_index
    if wrong.any():
        value = int(np.asarray(labels)[wrong].ravel()[0])
        raise expected(op, "labels", f"class indices in [0, {classes})", value, f"there are {classes} classes",
                       error=IndexError)  # fmt: skip


def _rows(x: Array) -> Array:
    if x.ndim <= 2:
        return x.reshape(-1, x.shape[-1]) if x.ndim == 2 else x[None]
    moved = arrays.namespace(x).moveaxis(x, 1, -1)
    return moved.reshape(-1, moved.shape[-1])
