"""Layer norm and its gradients, for rows of every length, strides and scales."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import UNIT, assert_as_good, reference, truth
from layouts import LAYOUTS
from subject import Subject


def check(on: Subject, x, weight, bias, dy, change=lambda x: x) -> None:
    with np.errstate(all="ignore"):
        forward = [change(a) if a is not None else None for a in (x, weight, bias)] + [1e-5]
        same, want = reference.layer_norm_forward(*forward), truth("layer_norm_forward", *forward)
        _, mean, rstd = want
        largest = 1 if weight is None else np.abs(weight).max(initial=0)
        rounded_mean = UNIT["float32"] * np.abs(mean) * rstd * largest  # what float32 makes of the mean, seen in y
        for name, got, exact, own, more in zip(
            ("y", "mean", "rstd"),
            on("layer_norm_forward", *forward),
            want,
            same,
            (rounded_mean[:, None], 0, 0),
            strict=True,
        ):
            assert_as_good(got, exact, own, 2, f"{name} {x.shape}", more)
        backward = [change(dy), forward[0], *same[1:], forward[1]]
        own, want = reference.layer_norm_backward(*backward), truth("layer_norm_backward", *backward)
        # The same rounding of the mean shifts xhat in its gradients.
        shift, g = rounded_mean[:, None] / largest, np.abs(dy) * largest
        xhat = np.abs(x - mean[:, None]) * rstd[:, None]
        dx_more = rstd[:, None] * shift * ((g * xhat).mean(1, keepdims=True) + xhat * g.mean(1, keepdims=True))
        mores = dx_more, (np.abs(dy) * shift).sum(0), 0
        for name, got, exact, o, more in zip(
            ("dx", "dweight", "dbias"), on("layer_norm_backward", *backward), want, own, mores, strict=True
        ):
            assert_as_good(got, exact, o, 3, f"{name} {x.shape}", more)


def draw(rows: int, n: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(np.float32) for s in [(rows, n), (n,), (n,), (rows, n)]]


def test_every_length(on: Subject) -> None:
    for n in [1, 2, 3, 31, 32, 33, 64, 255, 257, 1024, 1025, 1300]:
        check(on, *draw(3, n))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows, n", [(9, 40), (3, 1200), (2100, 7), (0, 5)])
def test_strides(on: Subject, layout: str, rows: int, n: int) -> None:
    check(on, *draw(rows, n), LAYOUTS[layout])


@pytest.mark.parametrize("with_weight", [False, True])
def test_without_weight_or_bias(on: Subject, with_weight: bool) -> None:
    x, weight, _, dy = draw(5, 33)
    check(on, x, weight if with_weight else None, None, dy)


@pytest.mark.parametrize("n", [16, 1100])
def test_constant_rows_and_large_means(on: Subject, n: int) -> None:
    x, weight, bias, dy = draw(4, n, 2)
    x[0] = 3
    x[1] = np.round(x[1] * 8) + 4096
    x[2] *= 1e-20
    check(on, x, weight, bias, dy)


def test_schedules(scheduled: Subject) -> None:
    for rows, n in [(40, 9), (5, 1100), (1100, 3)]:
        check(scheduled, *draw(rows, n))
