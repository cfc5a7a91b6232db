"""Softmax, log-softmax and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings


def test_golden() -> None:
    x = np.log(np.array([[1.0, 2, 5], [3, 1, 4]]))
    np.testing.assert_allclose(reference.softmax_forward(x, False), np.array([[1, 2, 5], [3, 1, 4]]) / 8, rtol=1e-15)
    np.testing.assert_allclose(
        reference.softmax_forward(x, True), np.log(np.array([[1, 2, 5], [3, 1, 4]]) / 8), rtol=1e-15
    )


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shift", [0, 1e7, -1e7])
def test_live_against_torch(log: bool, shift: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((5, 7)) * 4 + shift, rng.standard_normal((5, 7))
    t = torch.tensor(x, requires_grad=True)
    y = torch.log_softmax(t, -1) if log else torch.softmax(t, -1)
    y.backward(torch.tensor(dy))
    for _, z in stridings(x):
        assert_near(reference.softmax_forward(z, log), y.detach().numpy())
    for _, g in stridings(dy):
        assert_near(reference.softmax_backward(g, y.detach().numpy(), log), t.grad.numpy())


@pytest.mark.parametrize("log", [False, True])
def test_backward_equals_finite_differences(log: bool) -> None:
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    got = reference.softmax_backward(dy, reference.softmax_forward(x, log), log)
    assert_near(got, numeric_gradient(lambda v: reference.softmax_forward(v, log), x, dy), 1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_values_and_infinities(dtype: type) -> None:
    inf = np.inf
    x = np.array([[1e7, 1e7, -1e7], [0, -inf, 0], [-inf, -inf, -inf], [1, np.nan, 2], [3e38, -3e38, 3e38]], dtype)
    nan = [np.nan] * 3
    np.testing.assert_array_equal(
        reference.softmax_forward(x, False), [[0.5, 0.5, 0], [0.5, 0, 0.5], nan, nan, [0.5, 0, 0.5]]
    )
    log = reference.softmax_forward(x, True)
    assert log.dtype == dtype
    np.testing.assert_array_equal(log[[1, 2, 3]], np.array([[-np.log(dtype(2)), -inf, -np.log(dtype(2))], nan, nan]))
    torch = pytest.importorskip("torch")
    assert_near(log, torch.log_softmax(torch.tensor(x), -1).numpy(), 1e-6)
    x[0, 0] = inf
    np.testing.assert_array_equal(reference.softmax_forward(x, False), torch.softmax(torch.tensor(x), -1).numpy())


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 1)])
def test_empty_and_single(shape: tuple[int, int]) -> None:
    y = reference.softmax_forward(np.zeros(shape), False)
    np.testing.assert_array_equal(y, np.ones(shape))
    np.testing.assert_array_equal(reference.softmax_backward(y, y, False), np.zeros(shape))


def test_float16_rounds_once() -> None:
    x = (np.random.default_rng(2).standard_normal((3, 50)) * 5).astype(np.float16)
    got = reference.softmax_forward(x, False)
    np.testing.assert_array_equal(got, reference.softmax_forward(x.astype(np.float32), False).astype(np.float16))
    assert got.dtype == np.float16
