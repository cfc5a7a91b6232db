"""Softmax and its logarithm along rows of every length, and their gradient."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_as_good, reference, truth
from layouts import LAYOUTS, in_turns
from subject import Subject


def check(on: Subject, x: np.ndarray, dy: np.ndarray, log: bool, change=lambda x: x) -> None:
    y = reference.softmax_forward(change(x), log)
    assert_as_good(on("softmax_forward", change(x), log), truth("softmax_forward", x, log), y, 2, f"{x.shape}")
    want = truth("softmax_backward", dy, y, log)
    backward = change(dy), change(y), log
    assert_as_good(on("softmax_backward", *backward), want, reference.softmax_backward(*backward), 3, f"{x.shape}")


@pytest.mark.parametrize("log", [False, True])
def test_every_length(on: Subject, log: bool) -> None:
    rng = np.random.default_rng(1)
    for n in [*range(1, 70), 127, 255, 256, 257, 517, 1023, 1024, 1025, 1300]:
        check(on, *(rng.standard_normal((3, n)).astype(np.float32) for _ in range(2)), log)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (70, 9), (2, 2500)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides(on: Subject, layout: str, shape: tuple[int, int], log: bool) -> None:
    rng = np.random.default_rng(2)
    check(on, *(rng.standard_normal(shape).astype(np.float32) for _ in range(2)), log, LAYOUTS[layout])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("first", LAYOUTS)
def test_arrays_that_lie_differently(on: Subject, first: str, log: bool) -> None:
    rng = np.random.default_rng(5)
    check(on, *(rng.standard_normal((6, 40)).astype(np.float32) for _ in range(2)), log, in_turns(first))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("n", [10, 1500])
def test_shifts_and_special_values(on: Subject, n: int, log: bool) -> None:
    rng = np.random.default_rng(3)
    x = np.round(rng.standard_normal((6, n)) * 4).astype(np.float32)
    x[0] += 1e4
    x[1] -= 1e7
    x[2, 3] = -np.inf
    x[3, n - 1] = np.inf
    x[4, 0] = np.nan
    x[5] = -np.inf
    with np.errstate(all="ignore"):
        assert_as_good(
            on("softmax_forward", x, log), truth("softmax_forward", x, log), reference.softmax_forward(x, log), 2
        )


def test_schedules(scheduled: Subject) -> None:
    rng = np.random.default_rng(4)
    for shape in [(300, 5), (40, 1100)]:
        check(scheduled, *(rng.standard_normal(shape).astype(np.float32) for _ in range(2)), False)
