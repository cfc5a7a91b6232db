"""Products and column sums of the reference backend."""

from __future__ import annotations

import numpy as np
import pytest
from reference.checks import assert_near, stridings

from pylayers.backends import reference


@pytest.mark.parametrize(
    "b, m, n, k", [(1, 1, 1, 1), (2, 3, 4, 5), (3, 1, 7, 2), (1, 17, 1, 9), (2, 5, 3, 0), (0, 2, 2, 2), (1, 0, 3, 2)]
)
def test_gemm_equals_einsum_for_all_strides(b: int, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(b + m + n + k)
    a, c, bias = rng.standard_normal((b, m, k)), rng.standard_normal((b, k, n)), rng.standard_normal(n)
    want = np.maximum(np.einsum("zmk,zkn->zmn", a, c) + bias, 0)
    for name_a, x in stridings(a):
        for name_b, y in stridings(c):
            got = reference.gemm(x, y, bias, "relu")
            assert got.flags.c_contiguous, (name_a, name_b)
            assert_near(got, want, 1e-13)


def test_gemm_of_broadcast_operands() -> None:
    rng = np.random.default_rng(0)
    row, b = rng.standard_normal(4), rng.standard_normal((2, 4, 3))
    a = np.broadcast_to(row, (2, 5, 4))
    assert_near(reference.gemm(a, b), np.einsum("zmk,zkn->zmn", a.copy(), b), 1e-13)
    ones = np.broadcast_to(np.ones(()), (2, 5, 4))
    assert_near(reference.gemm(ones, b), np.broadcast_to(b.sum(1, keepdims=True), (2, 5, 3)), 1e-13)


def test_gemm_of_nothing_is_the_bias() -> None:
    bias = np.array([1.0, -2.0])
    np.testing.assert_array_equal(reference.gemm(np.ones((1, 3, 0)), np.ones((1, 0, 2)), bias), [[bias] * 3])
    np.testing.assert_array_equal(reference.gemm(np.ones((1, 3, 0)), np.ones((1, 0, 2))), np.zeros((1, 3, 2)))


def test_gemm_is_exact_on_integers() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-8, 9, (2, 33, 70)), rng.integers(-8, 9, (2, 70, 21))
    for dtype in (np.float32, np.float64):
        got = reference.gemm(a.astype(dtype), b.astype(dtype))
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, a @ b)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_products_round_once(name: str) -> None:
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name, name))
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((1, 6, 300), (1, 300, 5)))
    bias = rng.standard_normal(5).astype(dtype)
    got = reference.gemm(a, b, bias, "tanh")
    wide = reference.gemm(*(x.astype(np.float32) for x in (a, b, bias)), "tanh")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, wide.astype(dtype))


def test_nan_and_infinity_spread_quietly(recwarn: pytest.WarningsRecorder) -> None:
    a = np.array([[[np.nan, 1], [np.inf, 1], [2, 3]]])
    b = np.array([[[1.0, 0], [1, 1]]])
    got = reference.gemm(a, b, activation="relu")
    np.testing.assert_array_equal(got, [[[np.nan, np.nan], [np.inf, np.nan], [5, 3]]])
    assert not recwarn.list


@pytest.mark.parametrize("shape", [(5, 3, 1), (4, 3, 6), (1, 1, 1), (0, 3, 2), (2, 3, 0)])
def test_column_sum(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).standard_normal(shape)
    for _, y in stridings(x):
        assert_near(reference.column_sum(y), x.sum(axis=(0, 2)), 1e-13)
    one = np.broadcast_to(np.float64(0.5), shape)
    assert_near(reference.column_sum(one), np.full(3 if shape[1] == 3 else 1, 0.5 * shape[0] * shape[2]), 1e-13)


def test_long_float32_column_sums_stay_exact() -> None:
    x = np.random.default_rng(4).standard_normal((50_000, 3, 1)).astype(np.float32) + np.float32(1)
    want = x.sum(axis=(0, 2), dtype=np.float64)
    assert float(np.abs(reference.column_sum(x) / want - 1).max()) <= 1e-6
