"""y = a b on every variant: exact on integers, within the bound on reals; epilogues have tests of their own."""

from __future__ import annotations

import contextlib
from typing import Any

import bounds
import emulated
import numpy as np
import pytest
from bounds import assert_within
from gemm_cases import (
    Row,
    assert_exact,
    call,
    draw,
    integers,
    layouts_of,
    normal,
    output_dtypes,
    product,
    put,
    rows,
)
from subject import SCHEDULES, Subject

ROWS = rows(emulated.load())
KINDS = ["non_negative", "identity", "one_hot_k"]
SMALL_SIZES = [0, 1, 3, 8, 15, 16, 17]


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("kind", ["signed", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS)])
def test_exact_on_integers(kernels: Subject, row: Row, kind: str) -> None:
    m, n, k = 40, 72, row.tile_k + 24
    if kind == "identity":
        m = k
    a, b = draw(row, (2, m, n, k), low=0 if kind == "non_negative" else -4)
    if kind == "identity":
        a = np.broadcast_to(np.eye(k).astype(row.a), a.shape)
    if kind == "one_hot_k":
        a[:, :, np.arange(k) != k - 2] = 0
    for left, right in layouts_of(kernels, row):
        for dtype in output_dtypes(row):
            assert_exact(kernels, row, put(a, left), put(b, right), f"{left} {right}", out_dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", ["m", "n", "k"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_size(kernels: Subject, row: Row, dimension: str) -> None:
    tile = {"m": row.tile_m, "n": row.tile_n, "k": row.tile_k}[dimension]
    sizes = [*SMALL_SIZES, tile - 1, tile, tile + 1, row.long_k]
    left, right = layouts_of(kernels, row)[0]
    for size in sizes:
        m, n, k = ({"m": 19, "n": 37, "k": 21} | {dimension: size}).values()
        a, b = draw(row, (1, m, n, k), seed=size)
        assert_exact(kernels, row, put(a, left), put(b, right), f"{dimension} = {size}")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_stage_is_used_more_than_twice(kernels: Subject, row: Row) -> None:
    left, right = layouts_of(kernels, row)[-1]
    a, b = draw(row, (1, row.tile_m + 3, 9, row.long_k))
    assert_exact(kernels, row, put(a, left), put(b, right))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_splits_are_exact_and_repeatable(kernels: Subject, row: Row) -> None:
    left, right = layouts_of(kernels, row)[0]
    for k, splits in [(4 * row.tile_k, 4), (5 * row.tile_k - 3, 2), (row.tile_k - 1, 3)]:
        a, b = draw(row, (2, 20, 33, k))
        assert_exact(kernels, row, put(a, left), put(b, right), f"{splits} splits", splits=splits)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_bound_on_reals(kernels: Subject, row: Row) -> None:
    """With sums that round, and on the emulator with sums that are cut off too, as those of the tensor cores are."""
    rng = np.random.default_rng(4)
    left, right = layouts_of(kernels, row)[0]
    truncating = kernels.name == "emulated" and row.capability
    for m, n, k in [(30, 50, 3), (33, 20, 300), (5, 5, 2000)]:
        a, b = normal(rng, (1, m, k), row.a, row.precision), normal(rng, (1, k, n), row.b, row.precision)
        exact = np.matmul(a.astype(np.float64), b.astype(np.float64))
        for dtype in output_dtypes(row):
            for mode in [contextlib.nullcontext, *([emulated.truncating] if truncating else [])]:
                with mode():
                    got = call(kernels, row, put(a, left), put(b, right), out_dtype=dtype)
                assert_within(got, exact, bounds.product(row, a, b, exact, dtype), f"{row} {dtype}")


def hardest() -> list[Row]:
    """Two blocks that share tiles, two consumers that take turns, both operands gathered, registers twice used, ..."""
    chosen = {}
    for row in ROWS:
        kind = (row.name.partition("_")[0], row.name.rpartition("_")[2], row.a.startswith("float8"), row.tile_n)
        chosen.setdefault(kind, row)
    return list(chosen.values())


@pytest.mark.parametrize("layout", ["batches_apart", "batches_of_columns_apart"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int8", "float8_e4m3fn"])
def test_only_the_first_matrix_is_aligned(kernels: Subject, dtype: str, layout: str) -> None:
    """No copy of 16 bytes reaches the others, on the variant that the plan chooses for it."""
    precision = "tf32" if dtype == "float32" else "float32"
    row = Row("", dtype, dtype, precision, 90, 0, 0, 0, 0, 0, 0)
    a, b = draw(row, (3, 24, 40, 64))
    assert_exact(kernels, row, put(a, layout), put(b, "columns"))
    assert_exact(kernels, row, put(a, "rows"), put(b, layout))


@pytest.mark.parametrize("row", hardest(), ids=str)
def test_one_matrix_for_all_batches(kernels: Subject, row: Row) -> None:
    """Either operand, or both, with a batch stride of 0: one matrix for TMA, whatever its number of batches."""
    a, b = draw(row, (3, 20, 24, row.tile_k + 8))
    for left, right in layouts_of(kernels, row):
        first = put(a, left), put(b, right)
        repeated = [np.broadcast_to(x[1:2], x.shape) for x in first]
        for pair in [(repeated[0], first[1]), (first[0], repeated[1]), tuple(repeated)]:
            assert_exact(kernels, row, *pair, f"{left} {right}")


def test_broadcast_batches_and_operands(on: Subject) -> None:
    rng = np.random.default_rng(3)
    a, b = integers(rng, (1, 9, 5), "float32"), integers(rng, (1, 5, 4), "float32")
    bias = np.broadcast_to(np.float32(3), (4,))
    got = on("gemm", np.broadcast_to(a, (3, 9, 5)), np.broadcast_to(b, (3, 5, 4)), bias)
    np.testing.assert_array_equal(got, np.broadcast_to(a[0] @ b[0] + 3, (3, 9, 4)))
    ones = np.broadcast_to(np.float32(1), (2, 6, 5))  # the gradient of a sum
    np.testing.assert_array_equal(
        on("gemm", ones, np.broadcast_to(b, (2, 5, 4))), np.broadcast_to(b.sum(1, keepdims=True), (2, 6, 4))
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_not_a_number_reaches_its_row_and_column_only(on: Subject, dtype: str) -> None:
    a, b = np.ones((1, 40, 33), dtype), np.ones((1, 33, 50), dtype)
    a[0, 39, 32], b[0, 32, 7] = np.nan, np.inf
    want = np.full((1, 40, 50), 33.0, dtype)
    want[0, :, 7], want[0, 39, :] = np.inf, np.nan
    np.testing.assert_array_equal(on("gemm", a, b).astype(np.float32), want.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("row", hardest(), ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: f"{s[0]}{s[1]}")
def test_hardest_on_every_schedule(row: Row, schedule: tuple[Any, int]) -> None:
    """Blocks walk over several tiles, k is long enough that stages come round."""
    on = Subject("emulated")
    left, right = layouts_of(on, row)[-1]
    k = (row.stages + 2) * row.tile_k - 3
    a, b = draw(row, (2, row.tile_m + 5, row.tile_n + 5, k), low=-2)
    with emulated.schedule(*schedule), emulated.device_spec(sms=row.cluster):
        placed = (on.place(x, 16) for x in (put(a, left), put(b, right)))
        got = on.backend.gemm(*placed, precision=row.precision, variant=row.name)
    np.testing.assert_array_equal(got, product(a, b).astype(got.dtype))
