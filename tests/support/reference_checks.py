"""What the tests of the reference backend share: arrays of odd strides, finite differences, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def assert_near(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-10) -> None:
    """Same shape, same places of NaN and infinity, and max|got - want| <= tolerance max(1, max|want|)."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    scale = max(1.0, float(np.abs(want[finite]).max(initial=0)))
    error = float(np.abs(got[finite] - want[finite]).max(initial=0))
    assert error <= tolerance * scale, f"max|error| {error:.3g} at scale {scale:.3g}"


def stridings(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same values in memory of different orders, signs and gaps."""
    yield "contiguous", np.ascontiguousarray(x)
    yield "reversed axes", np.ascontiguousarray(x.transpose()).transpose()
    if x.ndim > 2:
        yield "channels last", np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    backwards = (slice(None, None, -1),) * x.ndim
    yield "negative strides", np.ascontiguousarray(x[backwards])[backwards]
    wide = np.full([2 * size + 1 for size in x.shape], np.nan, x.dtype)
    wide[(slice(1, None, 2),) * x.ndim] = x
    yield "gaps", wide[(slice(1, None, 2),) * x.ndim]


def numeric_gradient(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Central differences of fourth order of sum(dy * function(x)) for each element of float64 x."""
    assert x.dtype == np.float64
    step = 1e-4
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        for distance, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            moved = x.copy()
            moved[index] += distance * step
            gradient[index] += factor * (dy * function(moved)).sum() / (12 * step)
    return gradient


def writable(x: np.ndarray) -> np.ndarray:
    """The same view of a copy of its whole memory, so that every use starts from the same values."""
    base = x if x.base is None else x.base
    while base.base is not None:
        base = base.base
    memory = base.copy()
    offset = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return np.ndarray(x.shape, x.dtype, memory, offset, x.strides)


def counters(count: int) -> list[np.ndarray]:
    """The `steps` of an optimizer for that many tensors, before its first step."""
    return [np.zeros(2, np.int32) for _ in range(count)]
