"""Cross-entropy of integer labels against logits, log-probabilities or probabilities, with its gradient.

With q[j] = weight[j] (label_smoothing / n + (1 - label_smoothing) [j = label]), a row's loss is -sum of q[j] log p[j].
"""

from __future__ import annotations

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array, Loss, Reduction
from pylayers.backends.reference.precision import operation
from pylayers.backends.reference.rows import by_rows
from pylayers.backends.reference.softmax import softmax_rows

CLIP = 1e-7  # Keras's epsilon


def log_probabilities(x: Array, kind: Loss) -> Array:
    """log p of the rows of x."""
    if kind == "logits":
        return softmax_rows(x, np.empty_like(x), log=True)
    return np.log(np.clip(x, CLIP, 1 - CLIP)) if kind == "probabilities" else x


@operation()
def cross_entropy_forward(
    x: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
    reduction: Reduction,
    kind: Loss,
    gradient: bool,
) -> tuple[Array, Array, Array | None]:
    """As `contract.Backend.cross_entropy_forward`."""
    rows, n = x.shape
    labels = labels.astype(np.int64)
    ignored = labels == ignore_index
    index = np.where(ignored, 0, labels)
    weight = np.ones(n, x.dtype) if weight is None else weight
    own = np.where(ignored, 0, weight[index])  # the weight of each row's label
    loss = np.empty(rows, x.dtype)

    def work(x: Array, index: Array, ignored: Array, own: Array, loss: Array, dx: Array | None = None) -> None:
        at = np.arange(x.shape[0]), index
        log_p = log_probabilities(x, kind)
        loss[...] = -(1 - label_smoothing) * own * log_p[at]
        if label_smoothing:  # otherwise 0 * -inf would turn a certain row's loss into NaN
            loss -= label_smoothing / n * (log_p @ weight)
        loss[ignored] = 0
        if dx is None:
            return

        if kind == "logits":
            np.exp(log_p, out=dx)
            dx *= ((1 - label_smoothing) * own + label_smoothing / n * weight.sum())[:, None]
        else:
            dx.fill(0)
        dx[at] -= (1 - label_smoothing) * own
        if label_smoothing:
            dx -= label_smoothing / n * weight
        if kind == "probabilities":
            dx /= x
            dx[(x < x.dtype.type(CLIP)) | (x > x.dtype.type(1 - CLIP))] = 0
        dx[ignored] = 0

    dx = arrays.empty_like(x) if gradient else None
    by_rows(work, x, index, ignored, own, loss, *([] if dx is None else [dx]))
    normalizer = own.sum(keepdims=True) if reduction == "mean" else np.ones(1, x.dtype)
    return loss if reduction == "none" else loss.sum(keepdims=True) / normalizer, normalizer, dx


@operation()
def cross_entropy_backward(dloss: Array, gradient: Array, normalizer: Array) -> Array:
    """As `contract.Backend.cross_entropy_backward`; 0 where every row was ignored, as in torch."""
    scale = np.where(normalizer == 0, 0, dloss / normalizer)[:, None]
    dx = arrays.empty_like(gradient)
    by_rows(lambda gradient, scale, dx: np.multiply(gradient, scale, out=dx), gradient, scale, dx)
    return dx
