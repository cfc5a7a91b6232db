"""The mma.sync variants of gemm: every way operands may lie, tiles cut at every edge, splits, tf32's rounding."""

from __future__ import annotations

import itertools
from typing import Any

import emulated
import numpy as np
import pytest
from gemm_cases import ALIGNED, LAYOUTS, Row, integers, product, put, rows, serves
from subject import SCHEDULES, Subject

ROWS = [row for row in rows(emulated.load()) if row.name.startswith("sm80_")]
GATHER = [row for row in ROWS if row.name.endswith("_gather")]
COPY = [row for row in ROWS if row not in GATHER]
# How a's and b's elements are neighbours: along k are the rows of a and the columns of b.
KK, KN, MK, MN = ("rows", "columns"), ("rows", "rows"), ("columns", "columns"), ("columns", "rows")
SERVED = {
    "sm80_128x128x32": [KK, KN, MK, MN],
    "sm80_64x64x64": [KK, KN, MN],
    "sm80_128x128x16": [KK],
    "sm80_128x128x64": [KK],
}
CASES = [(row, way) for row in COPY for way in SERVED[row.name]]


def placed(x: np.ndarray, offset: int = 0) -> np.ndarray:
    """A copy of the array with its strides, `offset` elements from a multiple of 16 bytes, in poisoned memory.

    Its rows may end before 16 bytes are full: the rest is NaN, or -1.
    """
    lows = [min((n - 1) * s, 0) // x.itemsize for n, s in zip(x.shape, x.strides)]
    highs = [max((n - 1) * s, 0) // x.itemsize for n, s in zip(x.shape, x.strides)]
    low, per_chunk = -sum(lows), 16 // x.itemsize
    first = low + (offset - low) % per_chunk  # of x[0, 0, 0]
    memory = emulated.guarded_empty((-(-(first + sum(highs) + 1) // per_chunk) * per_chunk,), x.dtype)
    copy = np.lib.stride_tricks.as_strided(memory[first:], x.shape, x.strides)
    copy[...] = x
    return copy


def gemm(row: Row, a: np.ndarray, b: np.ndarray, splits: int = 0, **options: Any) -> np.ndarray:
    """The product by this variant into poisoned memory, k in so many parts if given."""
    variant = f"{row.name}*{splits}" if splits else row.name
    backend: Any = Subject("emulated").backend
    with emulated.guarded_outputs():
        return backend.gemm(a, b, precision=row.precision, variant=variant, **options)


def assert_exact(row: Row, a: np.ndarray, b: np.ndarray, what: Any = "", **options: Any) -> None:
    got = gemm(row, a, b, **options)
    np.testing.assert_array_equal(got, product(a, b).astype(got.dtype), err_msg=f"{row} {what}")


def draw(
    row: Row, batches: int, m: int, n: int, k: int, way: tuple[str, str], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Integer operands that lie this way, in aligned rows."""
    rng = np.random.default_rng(seed)
    a, b = integers(rng, (batches, m, k), row.a, -2), integers(rng, (batches, k, n), row.b, -2)
    return placed(put(a, way[0])), placed(put(b, way[1]))


def test_each_variant_serves_what_it_was_compiled_for() -> None:
    on = Subject("emulated")
    found = {
        row: [way for way in itertools.product(ALIGNED, ALIGNED) if serves(on, row, *draw(row, 2, 32, 32, 32, way))]
        for row in ROWS
    }
    assert {row: set(ways) for row, ways in found.items()} == {
        row: set(SERVED.get(row.name, [KK, KN, MK, MN])) for row in ROWS
    }
    for row in ROWS:  # one element off: only the gather
        a, b = draw(row, 2, 32, 32, 32, KK)
        assert serves(on, row, placed(a, 1), b) == serves(on, row, a, placed(b, 1)) == (row in GATHER), row


@pytest.mark.slow
@pytest.mark.parametrize("row, way", CASES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_copies_cut_at_every_edge(row: Row, way: tuple[str, str], edge: int) -> None:
    """Ragged in m, n and k; so long a k that every stage comes round, and shorter ones than there are stages."""
    for k in (row.long_k + edge, row.tile_k + edge, 1):
        assert_exact(row, *draw(row, 1, row.tile_m + edge, row.tile_n + edge, k, way), f"k = {k}")
    assert_exact(row, *draw(row, 2, 2 * row.tile_m + 5, 3, 40 + edge, way), "m")
    assert_exact(row, *draw(row, 2, 3, 2 * row.tile_n + 5, 40 + edge, way), "n")


@pytest.mark.slow
@pytest.mark.parametrize("row", GATHER, ids=str)
def test_gathers_cut_at_every_edge(row: Row) -> None:
    for edge, way in zip((-1, 0, 1, 5), (KK, KN, MK, MN)):
        for k in (row.long_k + edge, row.tile_k + edge, 1):
            assert_exact(row, *draw(row, 1, row.tile_m + edge, row.tile_n + edge, k, way), f"{way} k = {k}")


@pytest.mark.slow
@pytest.mark.parametrize("row", GATHER, ids=str)
def test_gathers_from_anywhere(row: Row) -> None:
    rng = np.random.default_rng(1)
    a, b = integers(rng, (2, 70, 45), row.a), integers(rng, (2, 45, 67), row.b)
    for left, right in itertools.product(LAYOUTS, repeat=2):
        assert_exact(row, placed(put(a, left)), placed(put(b, right)), f"{left} {right}")
    for offset in range(17):
        assert_exact(row, placed(a, offset), placed(b, 3 * offset), f"{offset} elements off")


@pytest.mark.slow
@pytest.mark.parametrize("row, way", CASES, ids=str)
def test_copies_from_the_same_place(row: Row, way: tuple[str, str]) -> None:
    """Batches and rows with stride 0, batches that go backwards."""
    a, b = draw(row, 3, 40, 48, 72, way)
    same = np.broadcast_to(a[:1], a.shape)
    assert_exact(row, same, b)
    assert_exact(row, a, np.broadcast_to(b[1:2], b.shape))
    assert_exact(row, a, b, "splits", splits=2)
    assert_exact(row, same, b, "splits", splits=3)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_nothing_to_add_up(row: Row) -> None:
    a, b = np.zeros((2, 5, 16), row.a)[:, :, :0], np.zeros((2, 9, 16), row.b)[:, :, :0].swapaxes(1, 2)
    np.testing.assert_array_equal(gemm(row, a, b), np.zeros((2, 5, 9)))
    if row.a != "int8":
        bias = np.arange(9).astype(row.a)
        np.testing.assert_array_equal(gemm(row, a, b, bias=bias), np.broadcast_to(bias, (2, 5, 9)))


def outer(row: Row, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The products of the elements of two vectors."""
    a, b = x.astype(np.float32).reshape(1, -1, 1), y.astype(np.float32).reshape(1, 1, -1)
    return gemm(row, placed(put(a, "rows")), placed(put(b, "columns")))[0]


@pytest.mark.parametrize("row", [row for row in ROWS if row.precision == "tf32"], ids=str)
def test_tf32_rounds_to_nearest_ties_away(row: Row) -> None:
    parts = np.array([0.0, 0.25, 0.5, 0.5 + 2.0**-13, 0.75, 1.0, 1.5, 2.5])  # of the last place that is kept
    x = np.concatenate([1 + parts * 2.0**-10, [np.inf, 2.0**127 * (2 - 2.0**-11), 2.0**-126]])
    want = np.concatenate([1 + np.floor(parts + 0.5) * 2.0**-10, [np.inf, np.inf, 2.0**-126]])
    x, want = np.concatenate([x, -x]), np.concatenate([want, -want])
    ones = np.ones(24)
    np.testing.assert_array_equal(outer(row, x, ones), np.outer(want, ones).astype(np.float32))
    np.testing.assert_array_equal(outer(row, ones, x), np.outer(ones, want).astype(np.float32))


@pytest.mark.parametrize("row", [row for row in ROWS if row.precision == "tf32"], ids=str)
@pytest.mark.parametrize("bits", [0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000, 0x7F800001], ids=hex)
def test_tf32_keeps_every_nan(row: Row, bits: int) -> None:
    nan, ones = np.array([bits], np.uint32).view(np.float32), np.ones(3)
    assert np.isnan(outer(row, nan, ones)).all() and np.isnan(outer(row, ones, nan)).all()


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: f"{s[0]}{s[1]}")
def test_schedules(row: Row, schedule: tuple[Any, int]) -> None:
    ways = SERVED.get(row.name, [KN])
    with emulated.schedule(*schedule):
        for seed, way in enumerate(ways[:: len(ways) - 1 or 1]):
            k = (2 * row.stages + 1) * row.tile_k - 3
            assert_exact(row, *draw(row, 1, row.tile_m - 5, row.tile_n + 3, k, way, seed), way)


def detect_faults() -> None:
    """What any one fault of these kernels changes, on as few products as will do."""
    by_name = {(row.name, row.a): row for row in ROWS}
    for (name, dtype), row in by_name.items():
        if dtype != "float16":  # as bfloat16
            for seed, way in enumerate(SERVED.get(name, [KN, MK])):
                # The stage after the last is the first again, where the epilogue's scratch begins.
                k = 2 * row.stages * row.tile_k - 3
                assert_exact(row, *draw(row, 1, row.tile_m + 3, row.tile_n - 9, k, way, seed))
                assert_exact(row, *draw(row, 2, 9, row.tile_n + 5, 3 * row.tile_k + 5, way, seed), splits=2 + seed % 2)
                assert_exact(row, *draw(row, 1, 3, 5, row.tile_k + 5, way, seed))
    for name in ("sm80_128x128x16", "sm80_64x64x16_gather"):
        test_tf32_rounds_to_nearest_ties_away(by_name[name, "float32"])
