"""Max pooling and its gradient: exact, for any window, strides and special values."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import truth
from layouts import LAYOUTS, in_turns
from subject import Subject

# x, kernel, stride, padding, dilation, out
WINDOWS = {
    "halves": ((2, 3, 8, 8), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
    "ragged": ((2, 3, 9, 11), (2, 2), (2, 2), (0, 0), (1, 1), (4, 5)),
    "overlap": ((2, 5, 9, 8), (3, 3), (2, 1), (1, 1), (1, 1), (5, 8)),
    "dilated": ((1, 2, 11, 9), (3, 2), (2, 3), (1, 1), (2, 3), (5, 3)),
    "gaps": ((1, 2, 9, 9), (1, 2), (3, 4), (0, 0), (1, 1), (3, 2)),
    "ceiling": ((1, 2, 7, 7), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
    "line": ((2, 3, 13), (3,), (2,), (1,), (1,), (7,)),
    "no_images": ((0, 3, 8, 8), (2, 2), (2, 2), (0, 0), (1, 1), (4, 4)),
}


def check(on: Subject, x: np.ndarray, how: tuple, change=lambda x: x) -> None:
    y, indices = on("max_pool_forward", change(x), *how)
    want_y, want_indices = truth("max_pool_forward", x, *how)
    np.testing.assert_array_equal(y, want_y)
    np.testing.assert_array_equal(indices, want_indices)
    dy = np.random.default_rng(1).integers(-4, 5, y.shape).astype(np.float32)
    window = how[:-1]
    dx = on("max_pool_backward", change(dy), change(indices), x.shape, *window)
    np.testing.assert_array_equal(dx, truth("max_pool_backward", dy, want_indices, x.shape, *window))


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(on: Subject, name: str) -> None:
    shape, *how = WINDOWS[name]
    check(on, np.random.default_rng(2).standard_normal(shape).astype(np.float32), tuple(how))


@pytest.mark.parametrize("name", ["halves", "overlap", "ceiling"])
def test_ties_go_to_the_first(on: Subject, name: str) -> None:
    shape, *how = WINDOWS[name]
    check(on, np.random.default_rng(3).integers(0, 2, shape).astype(np.float32), tuple(how))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["halves", "overlap"])
def test_strides(on: Subject, name: str, layout: str) -> None:
    shape, *how = WINDOWS[name]
    check(on, np.random.default_rng(4).standard_normal(shape).astype(np.float32), tuple(how), LAYOUTS[layout])


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("name", ["halves", "overlap"])
def test_arrays_that_lie_differently(on: Subject, name: str, first: str) -> None:
    shape, *how = WINDOWS[name]
    check(on, np.random.default_rng(7).standard_normal(shape).astype(np.float32), tuple(how), in_turns(first))


@pytest.mark.parametrize("name", ["halves", "overlap"])
def test_special_values(on: Subject, name: str) -> None:
    shape, *how = WINDOWS[name]
    x = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    x[0, 0, :4, :4] = -np.inf
    x[0, 1, 2, 3], x[-1, 2, 5, 5], x[-1, 0, 0, 0] = np.nan, np.inf, np.nan
    check(on, x, tuple(how))


def test_schedules(scheduled: Subject) -> None:
    shape, *how = WINDOWS["overlap"]
    check(scheduled, np.random.default_rng(6).standard_normal(shape).astype(np.float32), tuple(how))
