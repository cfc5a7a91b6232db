"""Losses: cross_entropy, nll_loss, mse_loss, l1_loss, binary_cross_entropy and binary_cross_entropy_with_logits."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.backends.contract import Loss, Reduction
from pylayers.functional.shape import as_tensor
from pylayers.functional.softmax import log_softmax
from pylayers.operations import checks
from pylayers.operations.cross_entropy import REDUCTIONS, class_axis, cross_entropy_backward
from pylayers.operations.cross_entropy import cross_entropy as row_losses
from pylayers.operations.loss import Elementwise, elementwise_loss, elementwise_loss_backward

Array = Any


class CrossEntropy(Record):
    """The loss of integer labels; the gradient is computed with it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Array,
        labels: Array,
        weight: Array | None,
        how: tuple[int, float, Reduction],
        kind: Loss,
        op: str,
    ) -> Array:
        if ctx.needs_input_grad[2]:
            raise NotImplementedError(f"{op}: the class weights have no gradient; detach them")
        loss, normalizer, gradient = row_losses(x, labels, weight, *how, kind, ctx.needs_input_grad[0], op)
        ctx.x_shape = x.shape
        ctx.save(gradient, normalizer)
        return loss

    @staticmethod
    def backward(ctx: Any, dloss: Array) -> tuple[Array | None, ...]:
        gradient, normalizer = ctx.saved
        return cross_entropy_backward(dloss, gradient, normalizer, ctx.x_shape), None, None, None, None, None


class ElementwiseLoss(Record):
    """The loss of each element, before reduction."""

    @staticmethod
    def forward(ctx: Any, x: Array, target: Array, kind: Elementwise, pos_weight: Array | None) -> Array:
        ctx.kind = kind
        ctx.save(x, target, pos_weight)
        return elementwise_loss(x, target, kind, pos_weight)

    @staticmethod
    def backward(ctx: Any, dloss: Array) -> tuple[Array | None, ...]:
        x, target, pos_weight = ctx.saved
        gradients = elementwise_loss_backward(dloss, x, target, ctx.kind, pos_weight, ctx.needs_input_grad[:2])
        return *gradients, None, None


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target], input logits (N, C), (C,) or (N, C, d1, ...).

    target: class indices (N,), () or (N, d1, ...), or class probabilities of the input's shape and dtype. weight (C,)
    multiplies each class; "mean" then divides by the sum of the labels' weights (by N with probabilities). Rows whose
    label is `ignore_index` count nothing. IndexError for a label outside [0, C), TypeError for float labels.
    """
    x, labels = as_tensor("cross_entropy", input), as_tensor("cross_entropy", target)
    if labels.shape == x.shape and labels.is_floating_point() and x.ndim > 0:
        return _soft_cross_entropy(x, labels, weight, reduction, label_smoothing)
    how = (ignore_index, label_smoothing, reduction)
    return CrossEntropy.apply(x, labels, weight, how, "logits", "cross_entropy")


def nll_loss(
    input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Tensor:
    """-input[target] for log-probabilities, input (N, C), (C,) or (N, C, d1, ...); else as `cross_entropy`."""
    how = (ignore_index, 0.0, reduction)
    return CrossEntropy.apply(input, target, weight, how, "log_probabilities", "nll_loss")


def mse_loss(input: Any, target: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """(input - target)^2, any shape, the same for both."""
    return _elementwise("mse", input, target, weight, reduction)


def l1_loss(input: Any, target: Any, *, reduction: Reduction = "mean", weight: Any = None) -> Tensor:
    """|input - target|, any shape, the same for both; the gradient is 0 where they are equal."""
    return _elementwise("l1", input, target, weight, reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: Reduction = "mean") -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x, logarithms >= -100; any shape, the same for both."""
    return _elementwise("binary_cross_entropy", input, target, weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: Reduction = "mean", pos_weight: Any = None
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow; pos_weight (broadcast) multiplies the term of t."""
    return _elementwise("binary_cross_entropy_with_logits", input, target, weight, reduction, pos_weight)


def _elementwise(
    kind: Elementwise, input: Any, target: Any, weight: Any, reduction: Reduction, pos_weight: Any = None
) -> Tensor:
    checks.choice(kind, "reduction", reduction, REDUCTIONS)
    loss = ElementwiseLoss.apply(input, target, kind, pos_weight)
    if weight is not None:
        loss = loss * weight
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def _soft_cross_entropy(x: Tensor, target: Tensor, weight: Any, reduction: Reduction, label_smoothing: float) -> Tensor:
    """-sum over classes of target weight log_softmax(x); "mean" divides by the number of rows."""
    op = "cross_entropy"
    checks.same_dtype(op, "target", target.array, "input", x.array)
    checks.choice(op, "reduction", reduction, REDUCTIONS)
    smoothing = checks.number(op, "label_smoothing", label_smoothing, 0.0, 1.0 + 1e-15, "a number in [0, 1]")
    axis = class_axis(x)
    classes = x.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    terms = log_softmax(x, axis) * target
    if weight is not None:
        weight = as_tensor(op, weight)
        checks.same_dtype(op, "weight", weight.array, "input", x.array)
        checks.shape(op, "weight", weight, (classes,))
        terms = terms * weight.reshape(classes, *(1,) * (x.ndim - axis - 1))
    if reduction == "none":
        return -terms.sum(axis)
    total = -terms.sum()
    return total / (x.numel() / classes) if reduction == "mean" else total
