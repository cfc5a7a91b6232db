"""y = activation(a b + bias) and column sums: exact on integers, within the bound on reals, any sizes and strides."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_as_good, assert_within, product_bound, reference, truth
from layouts import LAYOUTS
from subject import Subject

VARIANTS = ["simt_128x128x8", "simt_64x64x16", "simt_32x32x32"]
SIZES = [0, 1, 3, 15, 16, 17, 31, 32, 33, 65]


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float32)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dimension", ["m", "n", "k"])
def test_every_size_is_exact_on_integers(on: Subject, dimension: str) -> None:
    rng = np.random.default_rng(1)
    for size in SIZES:
        m, n, k = ({"m": 5, "n": 7, "k": 19} | {dimension: size}).values()
        a, b, bias = integers(rng, 2, m, k), integers(rng, 2, k, n), integers(rng, n)
        want = np.einsum("zmk,zkn->zmn", a.astype(np.int64), b.astype(np.int64)) + bias
        np.testing.assert_array_equal(on("gemm", a, b, bias), want.astype(np.float32), err_msg=f"{dimension} = {size}")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("m, n, k", [(127, 129, 41), (64, 65, 16), (33, 31, 97), (1, 130, 5)])
def test_every_variant_on_ragged_tiles(kernels: Subject, variant: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m)
    a, b = integers(rng, 2, m, k), integers(rng, 2, k, n)
    want = np.einsum("zmk,zkn->zmn", a.astype(np.int64), b.astype(np.int64)).astype(np.float32)
    np.testing.assert_array_equal(kernels("gemm", a, b, None, None, variant), want)


@pytest.mark.parametrize("a_layout", LAYOUTS)
@pytest.mark.parametrize("b_layout", LAYOUTS)
def test_strides(on: Subject, a_layout: str, b_layout: str) -> None:
    rng = np.random.default_rng(2)
    a, b = integers(rng, 2, 18, 21), integers(rng, 2, 21, 35)
    want = np.einsum("zmk,zkn->zmn", a, b)
    got = on("gemm", LAYOUTS[a_layout](a), LAYOUTS[b_layout](b))
    np.testing.assert_array_equal(got, want)


def test_broadcast_operands(on: Subject) -> None:
    rng = np.random.default_rng(3)
    a, b, bias = integers(rng, 1, 9, 5), integers(rng, 1, 5, 4), np.broadcast_to(np.float32(3), (4,))
    got = on("gemm", np.broadcast_to(a, (3, 9, 5)), np.broadcast_to(b, (3, 5, 4)), bias)
    np.testing.assert_array_equal(got, np.broadcast_to(a[0] @ b[0] + 3, (3, 9, 4)))
    ones = np.broadcast_to(np.float32(1), (2, 6, 5))  # the gradient of a sum
    np.testing.assert_array_equal(
        on("gemm", ones, np.broadcast_to(b, (2, 5, 4))), np.broadcast_to(b.sum(1, keepdims=True), (2, 6, 4))
    )


@pytest.mark.parametrize("m, n, k", [(70, 50, 3), (33, 70, 300), (5, 5, 2000)])
def test_bound_on_reals(on: Subject, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(4)
    a, b = normal(rng, 1, m, k), normal(rng, 1, k, n)
    want = truth("gemm", a, b)
    squares = np.einsum("zmk,zkn->zmn", a.astype(np.float64) ** 2, b.astype(np.float64) ** 2)
    assert_within(on("gemm", a, b), want, product_bound(want, squares, k))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"])
def test_fused_activation(on: Subject, activation: str) -> None:
    rng = np.random.default_rng(5)
    a, b, bias = normal(rng, 1, 20, 30), normal(rng, 1, 30, 40), normal(rng, 40)
    want = truth("gemm", a, b, bias, activation)
    assert_as_good(on("gemm", a, b, bias, activation), want, reference.gemm(a, b, bias, activation), 3)


def test_not_a_number_reaches_its_row_and_column_only(on: Subject) -> None:
    a, b = np.ones((1, 40, 33), np.float32), np.ones((1, 33, 50), np.float32)
    a[0, 39, 32], b[0, 32, 7] = np.nan, np.inf
    want = np.full((1, 40, 50), 33.0, np.float32)
    want[0, :, 7], want[0, 39, :] = np.inf, np.nan
    np.testing.assert_array_equal(on("gemm", a, b), want)


@pytest.mark.parametrize("variant", VARIANTS)
def test_schedules(scheduled: Subject, variant: str) -> None:
    rng = np.random.default_rng(6)
    a, b = integers(rng, 1, 70, 70), integers(rng, 1, 70, 40)
    np.testing.assert_array_equal(scheduled("gemm", a, b, None, None, variant), a @ b)


def test_plan_takes_the_largest_tile_that_fills_the_device(kernels: Subject) -> None:
    module = kernels.backend.module  # type: ignore[attr-defined]
    h200 = module.DeviceSpec(90, 132, 232448, 50 << 20)
    assert module.plan_gemm(1, 8192, 8192, 64, h200, "").variant == "simt_128x128x8"
    assert module.plan_gemm(1, 1024, 1024, 64, h200, "").variant == "simt_64x64x16"
    assert module.plan_gemm(1, 64, 64, 64, h200, "").variant == "simt_32x32x32"
    huge = module.plan_gemm(1, 2**31 + 1, 2, 4, h200, "")
    assert (huge.index_bits, huge.blocks) == (64, (2**31 + 1 + 127) // 128)
    with pytest.raises(ValueError, match=r"gemm: argument 'variant': expected a row of the table, got 'none such'"):
        module.plan_gemm(1, 1, 1, 1, h200, "none such")


def test_kernels_refuse_what_they_have_no_code_for(kernels: Subject) -> None:
    a = np.zeros((1, 2, 3))
    with pytest.raises(NotImplementedError, match=r"gemm: argument 'a': expected float32, got \(1, 2, 3\) float64"):
        kernels("gemm", a, a.swapaxes(1, 2))
    a = a.astype(np.float32)
    with pytest.raises(ValueError, match=r"gemm: argument 'b': expected \(1, 3, 3\) float32, got \(1, 2, 3\) float32"):
        kernels("gemm", a, a)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 5, 1), (3, 33, 40), (1, 70, 3000), (2500, 3, 1), (0, 4, 1), (3, 0, 2), (4, 5, 0)]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_column_sum(on: Subject, shape: tuple[int, int, int], layout: str) -> None:
    x = integers(np.random.default_rng(7), *shape)
    np.testing.assert_array_equal(
        on("column_sum", LAYOUTS[layout](x)), x.astype(np.int64).sum((0, 2)).astype(np.float32)
    )


def test_column_sum_bound(on: Subject) -> None:
    x = normal(np.random.default_rng(8), 5000, 37, 1)
    want = truth("column_sum", x)
    assert_within(on("column_sum", x), want, product_bound(want, (x.astype(np.float64) ** 2).sum((0, 2)), 5000))


def test_column_sum_schedules(scheduled: Subject) -> None:
    for shape in [(2100, 40, 1), (1, 3, 2100)]:  # both mappings, with a second pass
        x = integers(np.random.default_rng(9), *shape)
        np.testing.assert_array_equal(scheduled("column_sum", x), x.sum((0, 2)))
