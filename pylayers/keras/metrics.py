"""Metrics under Keras's names: means over all examples seen since the last reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers.errors import expected
from pylayers.keras.registry import find


class Metric:
    """The mean of one number for each element of `values`, over any number of batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset_state()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """One number for each example or element."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'values'")

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        """Takes in a batch of targets and outputs, host arrays."""
        values = self.values(np.asarray(y_true), np.asarray(y_pred))
        self.total += float(values.sum())
        self.count += values.size

    def result(self) -> float:
        """The mean so far; 0 before the first batch, as in Keras."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forgets everything seen."""
        self.total, self.count = 0.0, 0


def same_shape(name: str, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """y_true in the shape of y_pred, where at most a last axis of one element is missing."""
    if y_true.shape == y_pred.shape[:-1] and y_pred.shape[-1:] == (1,):
        return y_true[..., None]
    if y_true.shape != y_pred.shape:
        raise expected(name, "y_true", f"shape {y_pred.shape} as the model's output", y_true.shape)
    return y_true


class BinaryAccuracy(Metric):
    """How often (y_pred > threshold) is y_true."""

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return same_shape(self.name, y_true, y_pred) == (y_pred > self.threshold)


class CategoricalAccuracy(Metric):
    """How often the largest output is the largest target."""

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return same_shape(self.name, y_true, y_pred).argmax(-1) == y_pred.argmax(-1)


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is the label."""

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
        if labels.shape != y_pred.shape[:-1]:
            raise expected(self.name, "y_true", f"labels {y_pred.shape[:-1]}", f"shape {y_true.shape}")
        return labels == y_pred.argmax(-1)


class MeanSquaredError(Metric):
    """mean (y_pred - y_true)²."""

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return (y_pred - same_shape(self.name, y_true, y_pred)) ** 2


KNOWN: dict[str, Callable[[], Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}
ACCURACY = ("accuracy", "acc")


def checked(identifier: str | Metric) -> str | Metric:
    """The identifier, if `get` will know it; ValueError lists the names."""
    if not isinstance(identifier, Metric) and identifier not in ACCURACY:
        find("metrics", "identifier", identifier, {**dict.fromkeys(ACCURACY), **KNOWN})
    return identifier


def get(identifier: str | Metric, y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> Metric:
    """The metric of this name. ``"accuracy"`` is what the shapes of targets and outputs call for, as in Keras.

    One output: binary. Labels without the outputs' last axis, or with one element on it: sparse categorical.
    Otherwise categorical.
    """
    if isinstance(identifier, Metric):
        return identifier
    if identifier not in ACCURACY:
        metric = KNOWN[identifier.lower()]()
        metric.name = identifier
        return metric
    if y_pred[-1:] == (1,):
        return BinaryAccuracy(identifier)
    sparse = len(y_true) < len(y_pred) or y_true[-1:] == (1,)
    return SparseCategoricalAccuracy(identifier) if sparse else CategoricalAccuracy(identifier)
