"""Activations and their derivatives, element by element, for any shape and strides."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth
from layouts import LAYOUTS, in_turns
from subject import Subject

ACTIVATIONS = ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"]
SHAPES = [(), (1,), (0,), (3, 0, 2), (257,), (5, 1, 7), (2, 3, 4, 5), (1, 70000)]


def saved(x: np.ndarray, activation: str) -> np.ndarray:
    return reference.activation_forward(x, activation) if activation in ("relu", "sigmoid", "tanh") else x


def check(on: Subject, x: np.ndarray, dy: np.ndarray, activation: str, change=lambda x: x) -> None:
    kept = saved(x, activation)
    for op, args in [("activation_forward", (x, activation)), ("activation_backward", (dy, kept, activation))]:
        changed = [change(a) if isinstance(a, np.ndarray) else a for a in args]
        assert_as_good(on(op, *changed), truth(op, *args), getattr(reference, op)(*args), 3, f"{op} {activation}")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(on: Subject, shape: tuple[int, ...], activation: str) -> None:
    rng = np.random.default_rng(1)
    check(on, *(np.asarray(3 * rng.standard_normal(shape), np.float32) for _ in range(2)), activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides(on: Subject, layout: str, activation: str) -> None:
    rng = np.random.default_rng(2)
    check(on, *(rng.standard_normal((3, 5, 7)).astype(np.float32) for _ in range(2)), activation, LAYOUTS[layout])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_are_float32_rounded_once(on: Subject, dtype: str, activation: str) -> None:
    rng = np.random.default_rng(4)
    x, dy = (rng.standard_normal((3, 70)).astype(dtype) for _ in range(2))
    kept = saved(x, activation)
    unit = {"bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    for op, args in [("activation_forward", (x, activation)), ("activation_backward", (dy, kept, activation))]:
        want = getattr(reference, op)(*[np.asarray(a, np.float64) if isinstance(a, np.ndarray) else a for a in args])
        assert_within(on(op, *args), want, unit * np.abs(want) + 2.0**-24, f"{op} {activation}")


@pytest.mark.parametrize("first", LAYOUTS)
def test_arrays_that_lie_differently(on: Subject, first: str) -> None:
    rng = np.random.default_rng(6)
    check(on, *(rng.standard_normal((2, 4, 6)).astype(np.float32) for _ in range(2)), "silu", in_turns(first))


def test_operands_of_different_strides(on: Subject) -> None:
    rng = np.random.default_rng(3)
    x, dy = (rng.standard_normal((4, 5, 6)).astype(np.float32) for _ in range(2))
    want = truth("activation_backward", dy, x, "relu")
    for name, change in LAYOUTS.items():
        np.testing.assert_array_equal(on("activation_backward", change(dy), x, "relu"), want, err_msg=name)
        np.testing.assert_array_equal(on("activation_backward", dy, change(x), "relu"), want, err_msg=name)
    ones = np.broadcast_to(np.float32(1), x.shape)
    np.testing.assert_array_equal(on("activation_backward", ones, x, "relu"), (x > 0).astype(np.float32))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_special_values(on: Subject, activation: str) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 100.0, -100.0, 1e30], np.float32)
    with np.errstate(all="ignore"):
        want = reference.activation_forward(x, activation)  # what float32 makes of them
        got = on("activation_forward", x, activation)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-37, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_relu_hides_gradients_rather_than_multiplying_them(on: Subject, dtype: str) -> None:
    """As in torch: 0 for whatever comes to a place that was cut off, everything passes where a NaN was saved."""
    saved = np.array([-1, -0.0, 0, 1e-7, 2, np.inf, -np.inf, np.nan], np.float32).astype(dtype)
    dy = np.array([1, -2, np.inf, -np.inf, np.nan], np.float32).astype(dtype)
    dy, saved = (np.ascontiguousarray(x) for x in np.broadcast_arrays(dy[:, None], saved))
    want = np.where(saved.astype(np.float32) <= 0, 0, dy.astype(np.float32))
    np.testing.assert_array_equal(on("activation_backward", dy, saved, "relu").astype(np.float32), want)
    ones = np.ones((1, 1, dy.shape[1]), dtype)
    got = on("gemm", dy[None, :, :1], ones, None, "relu", saved=saved[None])
    np.testing.assert_array_equal(got[0].astype(np.float32), want)


def test_schedules(scheduled: Subject) -> None:
    x = np.random.default_rng(4).standard_normal((3, 2000)).astype(np.float32)
    check(scheduled, x, x[::-1], "tanh")
