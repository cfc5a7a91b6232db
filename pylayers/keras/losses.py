"""Losses under Keras's names: of probabilities, clipped at 1e-7, unless ``from_logits``.

Each is first one number for each example (the mean over its last axis where it has one), then reduced over the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.autograd import Record, Tensor
from pylayers.backends.contract import Reduction
from pylayers.errors import expected
from pylayers.functional.loss import CrossEntropy
from pylayers.keras.registry import find
from pylayers.operations.cross_entropy import check_labels

Array = Any
Formula = Callable[[Any, Array, Array], tuple[Array, Array]]  # (namespace, x, y) -> loss (rows,), gradient (rows, n)

EPSILON = 1e-7
REDUCTIONS: dict[str | None, Reduction] = {
    "sum_over_batch_size": "mean", "mean": "mean", "sum": "sum", "none": "none", None: "none"
}  # fmt: skip
NEVER = -1  # an ignored label that no checked label is


class RowLoss(Record):
    """One loss for each row of x (rows, n) with target y (rows, n); the gradient is computed on the way."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array, formula: Formula) -> Array:
        loss, gradient = formula(arrays.namespace(x), x, y)
        ctx.save(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, dloss: Array) -> tuple[Array, None, None]:
        (gradient,) = ctx.saved
        return gradient * dloss[:, None], None, None


def squared_error(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """mean (x - y)²."""
    error = x - y
    return (error * error).mean(1), error * (2 / x.shape[1])


def binary_of_probabilities(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """mean -(y log p + (1 - y) log(1 - p)) with p clipped to [1e-7, 1 - 1e-7] and no gradient where it was."""
    p = xp.clip(x, EPSILON, 1 - EPSILON)
    loss = -(y * xp.log(p) + (1 - y) * xp.log(1 - p)).mean(1)
    return loss, xp.where(x == p, (p - y) / (p * (1 - p) * x.shape[1]), 0).astype(x.dtype)


def binary_of_logits(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """The same of p = sigmoid(x), as max(x, 0) - x y + log(1 + exp(-|x|))."""
    small = xp.exp(-xp.abs(x))
    sigmoid = xp.where(x >= 0, 1, small) / (1 + small)
    return (xp.maximum(x, 0) - x * y + xp.log1p(small)).mean(1), (sigmoid - y) / x.shape[1]


def categorical_of_probabilities(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """-sum y log p with p = x / sum(x), clipped to [1e-7, 1 - 1e-7] with no gradient where it was."""
    total = x.sum(1, keepdims=True)
    q = x / total
    p = xp.clip(q, EPSILON, 1 - EPSILON)
    dq = xp.where(q == p, -y / p, 0).astype(x.dtype)
    return -(y * xp.log(p)).sum(1), (dq - (dq * q).sum(1, keepdims=True)) / total


def categorical_of_logits(xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
    """-sum y log softmax(x)."""
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - xp.log(xp.exp(shifted).sum(1, keepdims=True))
    return -(y * log_p).sum(1), xp.exp(log_p) * y.sum(1, keepdims=True) - y


class Loss:
    """``loss(y_true, y_pred)``: a host array, a Tensor -> a Tensor, one number unless the reduction is none."""

    def __init__(self, name: str, reduction: str | None = "sum_over_batch_size") -> None:
        if reduction not in REDUCTIONS:
            raise expected(name, "reduction", "one of " + ", ".join(map(repr, REDUCTIONS)), repr(reduction))
        self.name, self.reduction = name, REDUCTIONS[reduction]

    def call(self, y_true: np.ndarray, y_pred: Tensor, normalized: bool) -> Tensor:
        """The reduced loss; `normalized` promises that the probabilities of each example sum to 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'call'")

    def __call__(self, y_true: Any, y_pred: Any, normalized: bool = False) -> Tensor:
        y_pred = y_pred if isinstance(y_pred, Tensor) else Tensor(np.asarray(y_pred, np.float32))
        return self.call(np.asarray(y_true), y_pred, normalized)


def row_loss(formula: Formula, y_true: np.ndarray, y_pred: Tensor, reduction: Reduction) -> Tensor:
    """The formula over the last axis of y_pred (..., n), target of the same shape -> (...,), or their mean or sum."""
    n = y_pred.shape[-1]
    target = arrays.namespace(y_pred.array).asarray(np.ascontiguousarray(y_true.reshape(-1, n), y_pred.dtype))
    loss: Tensor = RowLoss.apply(y_pred.reshape(-1, n), target, formula)
    if reduction == "none":
        return loss.reshape(y_pred.shape[:-1])
    return loss.mean() if reduction == "mean" else loss.sum()


def matched(op: str, y_true: np.ndarray, y_pred: Tensor) -> np.ndarray:
    """y_true in the shape of y_pred: a missing last axis of one element is added; ValueError for other differences."""
    if y_true.shape == y_pred.shape[:-1] and y_pred.shape[-1:] == (1,):
        y_true = y_true[..., None]
    if y_true.shape != y_pred.shape:
        raise expected(op, "y_true", f"shape {tuple(y_pred.shape)} as the model's output", y_true.shape)
    return y_true


def in_unit_interval(op: str, y_true: np.ndarray) -> None:
    """ValueError unless all targets are probabilities."""
    if y_true.size and not (y_true.min() >= 0 and y_true.max() <= 1):
        raise expected(op, "y_true", "targets in [0, 1]", f"values in [{y_true.min()}, {y_true.max()}]")


class MeanSquaredError(Loss):
    """mean (y_pred - y_true)²."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str = "mean_squared_error") -> None:
        super().__init__(name, reduction)

    def call(self, y_true: np.ndarray, y_pred: Tensor, normalized: bool) -> Tensor:
        return row_loss(squared_error, matched(self.name, y_true, y_pred), y_pred, self.reduction)


class _Crossentropy(Loss):
    """What the two cross-entropies of soft targets share."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        *,
        name: str,
    ) -> None:
        super().__init__(name, reduction)
        if not 0 <= label_smoothing <= 1:
            raise expected(name, "label_smoothing", "a number in [0, 1]", label_smoothing)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def targets(self, y_true: np.ndarray, y_pred: Tensor, uniform: float) -> np.ndarray:
        """The checked targets, mixed with `uniform` by label smoothing."""
        y_true = matched(self.name, y_true, y_pred)
        in_unit_interval(self.name, y_true)
        s = self.label_smoothing
        return y_true * (1 - s) + s * uniform if s else y_true


class BinaryCrossentropy(_Crossentropy):
    """-(y log p + (1 - y) log(1 - p)), the mean over the last axis."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(from_logits, label_smoothing, reduction, name=name)

    def call(self, y_true: np.ndarray, y_pred: Tensor, normalized: bool) -> Tensor:
        formula = binary_of_logits if self.from_logits else binary_of_probabilities
        return row_loss(formula, self.targets(y_true, y_pred, 0.5), y_pred, self.reduction)


class CategoricalCrossentropy(_Crossentropy):
    """-sum y log p over the last axis, y one-hot or any distribution."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, label_smoothing, reduction, name=name)

    def call(self, y_true: np.ndarray, y_pred: Tensor, normalized: bool) -> Tensor:
        y_true = self.targets(y_true, y_pred, 1 / y_pred.shape[-1])
        ones = y_true == 1
        if (normalized or self.from_logits) and (ones.sum(-1) == 1).all() and (y_true.sum(-1) == 1).all():
            # One-hot rows are labels, and labels have a kernel.
            return sparse(y_true.argmax(-1), y_pred, self.from_logits, self.reduction, self.name)
        formula = categorical_of_logits if self.from_logits else categorical_of_probabilities
        return row_loss(formula, y_true, y_pred, self.reduction)


class SparseCategoricalCrossentropy(Loss):
    """-log p[label], integer labels (batch,) or (batch, 1)."""

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits = from_logits

    def call(self, y_true: np.ndarray, y_pred: Tensor, normalized: bool) -> Tensor:
        if y_true.ndim == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            wanted = f"labels {tuple(y_pred.shape[:-1])} for the model's output {tuple(y_pred.shape)}"
            hint = "one-hot targets go with 'categorical_crossentropy'"
            raise expected(self.name, "y_true", wanted, f"shape {y_true.shape}", hint)
        whole = y_true.dtype.kind in "iub" or (y_true.dtype.kind == "f" and (y_true == np.floor(y_true)).all())
        if not whole:
            raise expected(self.name, "y_true", "integer labels", f"dtype {y_true.dtype}", error=TypeError)
        check_labels(self.name, y_true, y_pred.shape[-1])
        if not (self.from_logits or normalized):
            y_pred = y_pred / y_pred.sum(-1, keepdim=True)
        return sparse(y_true, y_pred, self.from_logits, self.reduction, self.name)


def sparse(labels: np.ndarray, y_pred: Tensor, from_logits: bool, reduction: Reduction, op: str) -> Tensor:
    """-log p[label] over the last axis of y_pred (..., n), labels (...,), or their mean or sum."""
    index = arrays.namespace(y_pred.array).asarray(labels.reshape(-1).astype(np.int64))
    rows = y_pred if y_pred.ndim == 2 else y_pred.reshape(-1, y_pred.shape[-1])
    kind = "logits" if from_logits else "probabilities"
    loss: Tensor = CrossEntropy.apply(rows, index, None, (NEVER, 0.0, reduction), kind, op)
    return loss.reshape(labels.shape) if reduction == "none" else loss


KNOWN: dict[str, Callable[[], Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}


def get(identifier: str | Loss) -> Loss:
    """The loss of this name with Keras's defaults, or this loss. ValueError lists the names."""
    if isinstance(identifier, Loss):
        return identifier
    return find("losses", "identifier", identifier, KNOWN)()
