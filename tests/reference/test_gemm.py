"""Products and column sums of the reference backend."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, stridings


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


def test_epilogue_says_what_the_contract_says() -> None:
    """v = alpha scale_a[i] scale_b[j] (a @ b) + bias + beta residual, one term after the other, in float64."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 6, 3))
    bias, residual = rng.standard_normal(3), rng.standard_normal((2, 4, 3))
    scale_a, scale_b = rng.random(4).astype(np.float32), rng.random(3).astype(np.float32)
    product = np.einsum("zmk,zkn->zmn", a, b)
    scaled = -1.5 * product * scale_a[:, None].astype(np.float64) * scale_b.astype(np.float64)
    want = np.tanh(scaled + bias + 0.25 * residual)
    before = [x.copy() for x in (a, b, bias, residual, scale_a, scale_b)]
    scales = {"scale_a": scale_a, "scale_b": scale_b}
    got = reference.gemm(a, b, bias, "tanh", residual=residual, alpha=-1.5, beta=0.25, **scales)
    assert got.dtype == np.float64
    assert_near(got, want, 1e-13)
    for x, y in zip(before, (a, b, bias, residual, scale_a, scale_b), strict=True):
        np.testing.assert_array_equal(x, y)
    one = {"scale_a": scale_a[:1], "scale_b": scale_b[:1]}
    assert_near(reference.gemm(a, b, **one), product * float(scale_a[0]) * float(scale_b[0]), 1e-13)
    wide = np.broadcast_to(residual[:1, :1], (2, 4, 3))
    assert_near(reference.gemm(a, b, residual=wide), product + wide, 1e-13)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"])
def test_saved_multiplies_by_the_derivative(activation: str) -> None:
    rng = np.random.default_rng(6)
    a, b, saved = rng.standard_normal((2, 4, 6)), rng.standard_normal((2, 6, 3)), rng.standard_normal((2, 4, 3))
    dy = np.einsum("zmk,zkn->zmn", a, b)
    want = reference.activation_backward(dy, saved, activation)
    got, sums = reference.gemm(a, b, None, activation, saved=saved, column_sums=True)
    assert_near(got, want, 1e-13)
    assert_near(sums, want.sum((0, 1)), 1e-13)
    assert sums.dtype == np.float64


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_column_sums_come_before_rounding(name: str) -> None:
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name, name))
    rng = np.random.default_rng(7)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 200, 9), (3, 9, 5)))
    y, sums = reference.gemm(a, b, column_sums=True)
    exact = np.einsum("zmk,zkn->n", a.astype(np.float64), b.astype(np.float64))
    assert sums.dtype == np.float32
    assert float(np.abs(sums - exact).max()) <= 1e-4
    if dtype.itemsize == 2:  # what was rounded adds up to something else
        assert float(np.abs(y.astype(np.float64).sum((0, 1)) - exact).max()) > 1e-3


def test_output_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(8)
    a, b = rng.integers(-3, 4, (1, 5, 40)), rng.integers(-3, 4, (1, 40, 6))
    exact = a @ b
    e4m3, e5m2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
    for left, right, asked, want in [
        ("f2", "f2", None, "f2"), ("f2", "f2", "f4", "f4"), (ml_dtypes.bfloat16, ml_dtypes.bfloat16, "f4", "f4"),
        (e4m3, e4m3, None, ml_dtypes.bfloat16), (e4m3, e5m2, "f2", "f2"), (e5m2, e4m3, "f4", "f4"),
        ("i1", "i1", None, "i4"), ("i1", "i1", "f4", "f4"), ("i1", "i1", "f2", "f2"), ("f8", "f8", None, "f8"),
    ]:  # fmt: skip
        got = reference.gemm(a.astype(left), b.astype(right), out_dtype=asked)
        assert got.dtype == want, (left, right, asked)
        np.testing.assert_array_equal(got, exact.astype(want))
    scale = np.full(1, 0.5, np.float32)
    got = reference.gemm(a.astype("i1"), b.astype("i1"), scale_a=scale, scale_b=scale)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, exact / 4)
    for dtype, asked in [("f4", "f2"), ("f2", ml_dtypes.bfloat16), ("i1", "f8"), (e4m3, e4m3), ("f8", "f4")]:
        with pytest.raises(TypeError, match="gemm: argument 'out_dtype': expected .* for .* operands, got"):
            reference.gemm(a.astype(dtype), b.astype(dtype), out_dtype=asked)


def test_integers_are_exact_and_have_no_epilogue() -> None:
    a = np.full((1, 2, 1 << 17), -128, np.int8)
    with pytest.raises(NotImplementedError, match="at most 131071 columns, whose products int32 can hold, got 131072"):
        reference.gemm(a, a.swapaxes(1, 2))
    got = reference.gemm(a[..., :-1], a[..., :-1].swapaxes(1, 2))
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, np.full((1, 2, 2), ((1 << 17) - 1) << 14))
    small = a[..., :4]
    for how in ({"alpha": 2.0}, {"bias": np.zeros(2, "i4")}, {"activation": "relu"}, {"column_sums": True}):
        with pytest.raises(NotImplementedError, match="exact int32 products have no epilogue"):
            reference.gemm(small, small.swapaxes(1, 2), **how)


def test_tf32_only_permits() -> None:
    rng = np.random.default_rng(9)
    a, b = (rng.standard_normal((1, 30, 30)).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(reference.gemm(a, b, precision="tf32"), reference.gemm(a, b))


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("batches", [(), (2,)])
def test_matrices_and_transposed_operands(batches: tuple[int, ...], transpose_a: bool, transpose_b: bool) -> None:
    """Rank 2 and 3; a transposed operand is the same product of its swapped axes."""
    rng = np.random.default_rng(9)
    a, b, residual = (rng.standard_normal((*batches, *shape)) for shape in ((4, 6), (6, 3), (4, 3)))
    given_a = np.ascontiguousarray(a.swapaxes(-1, -2)) if transpose_a else a
    given_b = np.ascontiguousarray(b.swapaxes(-1, -2)) if transpose_b else b
    how = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    got, sums = reference.gemm(given_a, given_b, residual=residual, column_sums=True, **how)
    want = np.einsum("...mk,...kn->...mn", a, b) + residual
    assert_near(got, want, 1e-13)
    assert_near(sums, want.reshape(-1, 3).sum(0), 1e-13)
