"""Keras's public utilities."""

from __future__ import annotations

import numpy as np

from pylayers import random
from pylayers.errors import expected


def to_categorical(x: object, num_classes: int | None = None) -> np.ndarray:
    """Integer labels of any shape (..., or ..., 1) -> one-hot rows (..., num_classes), float64 as Keras gives.

    `num_classes` is the largest label + 1 unless given. TypeError for labels that are not integers, IndexError for a
    label outside [0, num_classes).
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "iub" and not (labels == np.floor(labels)).all():
        raise expected("to_categorical", "x", "whole numbers", f"dtype {labels.dtype}", error=TypeError)
    labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    classes = num_classes if num_classes is not None else int(labels.max(initial=-1)) + 1
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        wrong = labels[(labels < 0) | (labels >= classes)].flat[0]
        raise expected("to_categorical", "x", f"labels in [0, {classes})", int(wrong), error=IndexError)
    return np.eye(classes)[labels]


def set_random_seed(seed: int) -> None:
    """Seeds weights, dropout and the order of examples; NumPy's global generator too, as Keras does."""
    np.random.seed(seed)
    random.manual_seed(seed)
