"""What fit, evaluate and predict are given: checked, in the shape the model takes, split, batched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.keras.layers.layer import Shape, as_numbers


def examples(op: str, name: str, x: Any) -> np.ndarray:
    """A host array of numbers with one example or more along its first axis; TypeError or ValueError otherwise."""
    if isinstance(x, Tensor):
        x = x.detach().cpu().numpy()
    elif arrays.is_array(x) and arrays.device(x) != "cpu":
        x = x.get()
    if callable(getattr(x, "__next__", None)):
        raise NotImplementedError(f"{op}: argument '{name}': generators are not there yet; give arrays")
    array = as_numbers(op, name, x)
    if array.ndim == 0 or len(array) == 0:
        raise expected(op, name, "one example or more along the first axis", f"shape {array.shape}")
    return array


def fitted(op: str, x: np.ndarray, shape: Shape | None) -> np.ndarray:
    """x in the shape of the model's input: a last axis of one element is added or dropped, as Keras does."""
    if shape is None:
        return x
    if x.ndim == len(shape) - 1 and shape[-1] == 1:
        x = x[..., None]
    elif x.ndim == len(shape) + 1 and x.shape[-1] == 1:
        x = x[..., 0]
    agrees = x.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, x.shape, strict=True))
    if not agrees:
        raise expected(op, "x", f"shape {shape} as the model's input", x.shape)
    return x


def same_length(op: str, x: np.ndarray, y: np.ndarray) -> None:
    """ValueError unless there is one target for each example."""
    if len(x) != len(y):
        raise expected(op, "y", f"{len(x)} targets, one for each example", len(y))


def whole(op: str, name: str, value: object) -> int:
    """A positive integer; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise expected(op, name, "a positive integer", repr(value), error=TypeError)
    if value < 1:
        raise expected(op, name, "a positive integer", int(value))
    return int(value)


def split(op: str, x: np.ndarray, y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y without their last share, and that share of both; ValueError for a share that leaves one part empty."""
    if not 0 < share < 1:
        raise expected(op, "validation_split", "a number between 0 and 1", share)
    first = int(len(x) * (1 - share))
    if first in (0, len(x)):
        hint = f"there are {len(x)} examples"
        raise expected(op, "validation_split", "a share that leaves examples on both sides", share, hint)
    return x[:first], y[:first], x[first:], y[first:]


def batches(n: int, size: int, order: np.ndarray | None = None) -> Iterator[Any]:
    """Indices of each batch: slices, or parts of a permutation."""
    for first in range(0, n, size):
        yield slice(first, first + size) if order is None else order[first : first + size]
