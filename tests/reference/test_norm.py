"""Layer normalisation."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings


def test_golden() -> None:
    x = np.array([[1.0, 3, 5, 7], [2, 2, 2, 2]])
    y, mean, rstd = reference.layer_norm_forward(x, np.array([1.0, 2, 1, 1]), np.array([0.0, 0, 0, 10]), 4.0)
    np.testing.assert_array_equal(mean, [4, 2])
    np.testing.assert_allclose(rstd, [1 / 3, 1 / 2], rtol=1e-15)  # variances 5 and 0, eps 4
    assert_near(y, np.array([[-1, -2 / 3, 1 / 3, 11], [0, 0, 0, 10]]), 1e-15)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e7, -1e7])
def test_live_against_torch(affine: bool, shift: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((6, 33)) + shift, rng.standard_normal((6, 33))
    weight, bias = (rng.standard_normal(33), rng.standard_normal(33)) if affine else (None, None)
    leaves = [None if v is None else torch.tensor(v, requires_grad=True) for v in (x, weight, bias)]
    y = torch.nn.functional.layer_norm(leaves[0], (33,), leaves[1], leaves[2], 1e-5)
    y.backward(torch.tensor(dy))
    tolerance = 1e-10 if shift == 0 else 1e-7  # x itself carries 1e7 * 2^-53 = 1e-9, and torch's mean as much again
    for _, z in stridings(x):
        got, mean, rstd = reference.layer_norm_forward(z, weight, bias, 1e-5)
        assert_near(got, y.detach().numpy(), tolerance)
        for _, g in stridings(dy):
            dx, dweight, dbias = reference.layer_norm_backward(g, z, mean, rstd, weight)
            assert_near(dx, leaves[0].grad.numpy(), tolerance)
            if affine:
                assert_near(dweight, leaves[1].grad.numpy(), tolerance)
                assert_near(dbias, leaves[2].grad.numpy(), tolerance)


def test_backward_equals_finite_differences() -> None:
    rng = np.random.default_rng(1)
    x, dy, weight, bias = (rng.standard_normal(s) for s in ((3, 5), (3, 5), (5,), (5,)))
    _, mean, rstd = reference.layer_norm_forward(x, weight, bias, 1e-5)
    dx, dweight, dbias = reference.layer_norm_backward(dy, x, mean, rstd, weight)
    assert_near(dx, numeric_gradient(lambda v: reference.layer_norm_forward(v, weight, bias, 1e-5)[0], x, dy), 1e-8)
    assert_near(
        dweight, numeric_gradient(lambda v: reference.layer_norm_forward(x, v, bias, 1e-5)[0], weight, dy), 1e-8
    )
    assert_near(dbias, numeric_gradient(lambda v: reference.layer_norm_forward(x, weight, v, 1e-5)[0], bias, dy), 1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e7, -3e7 / 7])
def test_constant_rows_give_the_bias_exactly(dtype: type, value: float) -> None:
    x = np.full((2, 769), value, dtype)
    bias = np.linspace(-1, 1, 769).astype(dtype)
    y, mean, rstd = reference.layer_norm_forward(x, np.ones(769, dtype), bias, 1e-5)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, x.shape))
    assert y.dtype == mean.dtype == rstd.dtype == dtype
    dx, dweight, _ = reference.layer_norm_backward(np.broadcast_to(bias, x.shape), x, mean, rstd, None)
    assert_near(dx, (bias.astype(float) - bias.mean(dtype=float)) * np.ones((2, 1)) / np.sqrt(1e-5), 1e-5)
    np.testing.assert_array_equal(dweight, np.zeros(769))


def test_float32_near_1e7_keeps_its_digits() -> None:
    x = (np.random.default_rng(2).integers(-50, 50, (4, 1000)) + 1e7).astype(np.float32)
    got = reference.layer_norm_forward(x, None, None, 1e-5)[0]
    assert_near(got, reference.layer_norm_forward(x.astype(np.float64), None, None, 1e-5)[0], 1e-5)


def test_nan_stays_in_its_row_and_no_rows_are_fine(recwarn: pytest.WarningsRecorder) -> None:
    x = np.array([[1.0, np.nan], [1, 3], [np.inf, 0]])
    y, mean, _ = reference.layer_norm_forward(x, None, None, 0.0)
    np.testing.assert_array_equal(y, [[np.nan, np.nan], [-1, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(mean, [np.nan, 2, np.inf])
    y, mean, rstd = reference.layer_norm_forward(np.zeros((0, 4)), None, None, 1e-5)
    dx, dweight, dbias = reference.layer_norm_backward(y, y, mean, rstd, None)
    assert dx.shape == (0, 4) and mean.shape == rstd.shape == (0,)
    np.testing.assert_array_equal([dweight, dbias], np.zeros((2, 4)))
    assert not recwarn.list


def test_bfloat16_rounds_once_and_keeps_its_statistics_in_float32() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(3)
    x, dy, weight = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((4, 20), (4, 20), (20,)))
    y, mean, rstd = reference.layer_norm_forward(x, weight, None, 1e-5)
    wide = reference.layer_norm_forward(x.astype(np.float32), weight.astype(np.float32), None, 1e-5)
    np.testing.assert_array_equal(y, wide[0].astype(x.dtype))
    np.testing.assert_array_equal(mean, wide[1])
    assert y.dtype == x.dtype and mean.dtype == rstd.dtype == np.float32
    assert all(g.dtype == x.dtype for g in reference.layer_norm_backward(dy, x, mean, rstd, weight))


def test_rms_golden() -> None:
    y, rstd = reference.rms_norm_forward(np.array([[1.0, 7], [0, 0]]), np.array([1.0, 2]), 1e-300)
    np.testing.assert_allclose(rstd[0], 1 / 5, rtol=1e-15)  # mean of squares 25
    assert_near(y, np.array([[1 / 5, 14 / 5], [0, 0]]), 1e-15)


@pytest.mark.parametrize("affine", [False, True])
def test_rms_live_against_torch(affine: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy, weight = rng.standard_normal((6, 33)), rng.standard_normal((6, 33)), rng.standard_normal(33)
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, weight)]
    y = torch.nn.functional.rms_norm(leaves[0], (33,), leaves[1] if affine else None, 1e-5)
    y.backward(torch.tensor(dy))
    for _, z in stridings(x):
        got, rstd = reference.rms_norm_forward(z, weight if affine else None, 1e-5)
        assert_near(got, y.detach().numpy(), 1e-12)
        for _, g in stridings(dy):
            dx, dweight = reference.rms_norm_backward(g, z, rstd, weight if affine else None)
            assert_near(dx, leaves[0].grad.numpy(), 1e-12)
            if affine:
                assert_near(dweight, leaves[1].grad.numpy(), 1e-12)


def test_rms_backward_equals_finite_differences() -> None:
    rng = np.random.default_rng(1)
    x, dy, weight = (rng.standard_normal(s) for s in ((3, 5), (3, 5), (5,)))
    dx, dweight = reference.rms_norm_backward(dy, x, reference.rms_norm_forward(x, weight, 1e-5)[1], weight)
    assert_near(dx, numeric_gradient(lambda v: reference.rms_norm_forward(v, weight, 1e-5)[0], x, dy), 1e-8)
    assert_near(dweight, numeric_gradient(lambda v: reference.rms_norm_forward(x, v, 1e-5)[0], weight, dy), 1e-8)
