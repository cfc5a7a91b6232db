"""Activations and their derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings

NAMES = ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"]
SAVES_Y = {"relu", "sigmoid", "tanh"}


def one(name: str, x: float) -> float:
    """The definition, for one number, with the standard library."""
    sigmoid = 1 / (1 + math.exp(-x))
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    values = {
        "relu": max(x, 0.0),
        "sigmoid": sigmoid,
        "tanh": math.tanh(x),
        "gelu": x * math.erfc(-x / math.sqrt(2)) / 2,
        "gelu_tanh": x * (1 + math.tanh(inner)) / 2,
        "silu": x * sigmoid,
    }
    return values[name]


@pytest.mark.parametrize("name", NAMES)
def test_forward_equals_its_definition(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 5)) * 3
    want = np.array([one(name, float(v)) for v in x.ravel()]).reshape(x.shape)
    for _, y in stridings(x):
        before = y.copy()
        assert_near(reference.activation_forward(y, name), want, 1e-13)
        np.testing.assert_array_equal(y, before)
    small = reference.activation_forward(x.astype(np.float32), name)
    assert small.dtype == np.float32
    assert_near(small, want, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_backward_equals_finite_differences(name: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 5)) * 2
    x += np.sign(x) * 1e-3  # away from the corner of relu
    dy = rng.standard_normal(x.shape)
    saved = reference.activation_forward(x, name) if name in SAVES_Y else x
    want = numeric_gradient(lambda v: reference.activation_forward(v, name), x, dy)
    for _, g in stridings(dy):
        for _, s in stridings(saved):
            assert_near(reference.activation_backward(g, s, name), want, 1e-8)
    row = np.broadcast_to(dy[0], x.shape)
    assert_near(
        reference.activation_backward(row, saved, name), reference.activation_backward(row.copy(), saved, name), 0
    )


@pytest.mark.parametrize("name", NAMES)
def test_live_against_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functions = {
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda t: torch.nn.functional.gelu(t, approximate="tanh"),
        "silu": torch.nn.functional.silu,
    }
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((2, 40)) * 10, rng.standard_normal((2, 40))
    t = torch.tensor(x, requires_grad=True)
    y = functions.get(name, getattr(torch, name, None))(t)
    y.backward(torch.tensor(dy))
    got = reference.activation_forward(x, name)
    assert_near(got, y.detach().numpy())
    assert_near(reference.activation_backward(dy, got if name in SAVES_Y else x, name), t.grad.numpy())


def test_relu_keeps_nan_and_drops_what_it_masks(recwarn: pytest.WarningsRecorder) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 2.0])
    y = reference.activation_forward(x, "relu")
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0, 0, 2])
    dy = np.array([3.0, np.inf, np.nan, np.inf, np.nan])
    np.testing.assert_array_equal(reference.activation_backward(dy, y, "relu"), [3, np.inf, 0, 0, np.nan])
    assert not recwarn.list


@pytest.mark.parametrize("name", NAMES)
def test_extremes_do_not_overflow(name: str) -> None:
    for dtype in (np.float32, np.float64):
        y = reference.activation_forward(np.array([-1e4, 1e4], dtype), name)
        high = 1.0 if name in ("sigmoid", "tanh") else 1e4
        np.testing.assert_array_equal(y, np.array([-1.0 if name == "tanh" else 0.0, high], dtype))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="activation 'mish' has no reference formula"):
        reference.activation_forward(np.ones(2), "mish")
    with pytest.raises(NotImplementedError, match="activation 'mish' has no reference derivative"):
        reference.activation_backward(np.ones(2), np.ones(2), "mish")


def test_bfloat16_rounds_once() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(3).standard_normal((4, 5)).astype(ml_dtypes.bfloat16)
    for name in NAMES:
        got = reference.activation_forward(x, name)
        assert got.dtype == x.dtype
        wide = reference.activation_forward(x.astype(np.float32), name)
        np.testing.assert_array_equal(got, wide.astype(x.dtype))
