"""Layer norm, RMS norm and their gradients, for rows of every length, strides and scales."""

from __future__ import annotations

import bounds
import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth
from layouts import LAYOUTS, Layout, in_turns
from subject import Subject


def check(on: Subject, x, weight, bias, dy, change: Layout = lambda x: x) -> None:
    """Forward, and backward from the reference's mean and rstd."""
    with np.errstate(all="ignore"):
        forward = [change(a) if a is not None else None for a in (x, weight, bias)] + [1e-5]
        got = on("layer_norm_forward", *forward)
        exact, own = truth("layer_norm_forward", *forward), reference.layer_norm_forward(*forward)
        allowed = bounds.layer_norm_forward(exact, own, weight)
        for name, *parts in zip(("y", "mean", "rstd"), got, exact, allowed, strict=True):
            assert_within(*parts, f"{name} {x.shape}")

        moments, backward = exact[1:], [change(dy), forward[0], *own[1:], forward[1]]
        got = on("layer_norm_backward", *backward)
        exact, own = truth("layer_norm_backward", *backward), reference.layer_norm_backward(*backward)
        allowed = bounds.layer_norm_backward(exact, own, x, dy, moments, weight)
        for name, *parts in zip(("dx", "dweight", "dbias"), got, exact, allowed, strict=True):
            assert_within(*parts, f"{name} {x.shape}")


def check_rms(on: Subject, x, weight, dy, change: Layout = lambda x: x) -> None:
    """RMS norm forward, and backward from the reference's rstd."""
    forward = [change(a) if a is not None else None for a in (x, weight)] + [1e-5]
    backward = [change(dy), forward[0], reference.rms_norm_forward(*forward)[1], forward[1]]
    with np.errstate(all="ignore"):
        for op, args, factor in (("rms_norm_forward", forward, 2), ("rms_norm_backward", backward, 3)):
            for got, exact, own in zip(on(op, *args), truth(op, *args), getattr(reference, op)(*args), strict=True):
                assert_as_good(got, exact, own, factor, f"{op} {x.shape}")


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


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("rows, n", [(9, 40), (3, 1200)])
def test_arrays_that_lie_differently(on: Subject, first: str, rows: int, n: int) -> None:
    check(on, *draw(rows, n), in_turns(first))


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


@pytest.mark.parametrize("n", [16, 1100])
@pytest.mark.parametrize("power", [66, 90, 110])
def test_rows_whose_squares_float32_cannot_hold(on: Subject, n: int, power: int) -> None:
    """Beyond 1e19. A power of two changes no rounding, so that y is, bit for bit, that of the row without it."""
    x, weight, bias, dy = draw(4, n, 3)
    x[0] += 5
    large = np.ldexp(x, power)
    y, mean, rstd = on("layer_norm_forward", x, weight, bias, 0.0)
    got = on("layer_norm_forward", large, weight, bias, 1e-5)
    for name, part, want in zip(("y", "mean", "rstd"), got, (y, np.ldexp(mean, power), np.ldexp(rstd, -power))):
        np.testing.assert_array_equal(part, want, err_msg=name)
    dx, dweight, dbias = on("layer_norm_backward", dy, x, mean, rstd, weight)
    got = on("layer_norm_backward", dy, large, *got[1:], weight)
    for name, part, want in zip(("dx", "dweight", "dbias"), got, (np.ldexp(dx, -power), dweight, dbias)):
        np.testing.assert_allclose(part, want, rtol=0, atol=2.0**-149, err_msg=name)  # of dx the last bits are gone


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fills_its_row(on: Subject, bad: float) -> None:
    x, weight, bias, _ = draw(3, 40, 4)
    x[1, 7] = bad
    y, _, _ = on("layer_norm_forward", x, weight, bias, 1e-5)
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to([[False], [True], [False]], y.shape))


def test_schedules(scheduled: Subject) -> None:
    for rows, n in [(40, 9), (5, 1100), (1100, 3)]:
        check(scheduled, *draw(rows, n))


def test_rms_of_every_length(on: Subject) -> None:
    for n in [1, 2, 3, 31, 32, 33, 255, 257, 1024, 1025, 1300]:
        x, weight, _, dy = draw(3, n)
        check_rms(on, x, weight, dy)
        check_rms(on, x * np.float32(1e19), None, dy)  # whose squares float32 cannot hold


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows, n", [(9, 40), (3, 1200), (2100, 7), (0, 5)])
def test_rms_of_strides(on: Subject, layout: str, rows: int, n: int) -> None:
    x, weight, _, dy = draw(rows, n)
    check_rms(on, x, weight, dy, LAYOUTS[layout])


def test_rms_schedules(scheduled: Subject) -> None:
    for rows, n in ((40, 33), (3, 1100)):
        x, weight, _, dy = draw(rows, n)
        check_rms(scheduled, x, weight, dy)
