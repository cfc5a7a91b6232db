"""cp.async, mbarriers, TMA and clusters against NumPy: boxes by np.pad and slices."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from instructions import Machine, box_of, numbers, run, tensor_of, words

__all__ = ["run"]  # a fixture

DTYPES: list[Any] = [np.float32, ml_dtypes.bfloat16, np.float16, np.int32, np.uint8, np.int8, ml_dtypes.float8_e4m3fn]


# ------------------------------------------------------------------------------------------- cp.async, bulk copies


@pytest.mark.parametrize("size, given", [(s, g) for s in (4, 8, 16) for g in (0, 1, s // 2 + 1, s)])
def test_cp_async_fills_up_with_zeros(run: Machine, size: int, given: int) -> None:
    x = words(32 * size // 4).view(np.uint8).reshape(32, size)
    want = np.where(np.arange(size) < given, x, 0)
    np.testing.assert_array_equal(run(f"cp_async_{size}", [x], np.zeros_like(x), [given]), want)


@pytest.mark.parametrize("kernel", ["cp_async_groups", "cp_async_mbarrier"])
def test_cp_async_is_waited_for(run: Machine, kernel: str) -> None:
    x = words(256)
    np.testing.assert_array_equal(run(kernel, [x], np.zeros_like(x)), x)


@pytest.mark.parametrize("kernel", ["bulk_load", "bulk_store"])
@pytest.mark.parametrize("size", [16, 48, 4096, 100 * 1024])
def test_bulk_copies(run: Machine, kernel: str, size: int) -> None:
    x = words(size // 4)
    np.testing.assert_array_equal(run(kernel, [x], np.zeros_like(x), [size]), x)


def test_expected_bytes_add_up(run: Machine) -> None:
    x = words(512)
    np.testing.assert_array_equal(run("expect_tx", [x], np.zeros_like(x), [1024]), x)


def test_mbarrier_phases(run: Machine) -> None:
    """Before the first phase has ended parity 1 is over; then 0; then 1 again."""
    x = words(64)
    got = run("mbarrier_phases", [x], np.zeros(70, np.uint32))
    np.testing.assert_array_equal(got[:6].reshape(3, 2), [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(got[6:], x + 3)


# ----------------------------------------------------------------------------------------------------- tiled boxes


def swizzled(rows: np.ndarray, span: int) -> np.ndarray:
    """The bytes of rows of `span` bytes, their 16-byte chunks exchanged as the manual draws it."""
    chunks = rows.reshape(-1, span // 16, 16)
    wide = span // 16
    row, column = np.mgrid[: chunks.shape[0], :wide]
    placed = np.empty_like(chunks)
    placed[row, column ^ (row % 8 * wide // 8)] = chunks[row, column]
    return placed.reshape(rows.shape)


CASES: list[tuple[Any, tuple[int, ...], list[int], list[int], list[int]]] = [
    # dtype, shape, box, coordinates, element strides; these three innermost first
    (np.float32, (37, 20), [8, 16], [4, 3], [1, 1]),
    (np.float32, (37, 20), [8, 16], [16, 30], [1, 1]),  # over both ends
    (np.float32, (37, 20), [8, 16], [-3, -5], [1, 1]),  # before both beginnings
    (np.float32, (5, 4), [16, 16], [-6, -5], [1, 1]),  # beyond on every side
    (np.float32, (37, 20), [8, 16], [100, 0], [1, 1]),  # all outside
    (ml_dtypes.bfloat16, (70, 72), [64, 64], [8, 16], [1, 1]),
    (ml_dtypes.bfloat16, (70, 72), [64, 64], [16, 16], [1, 1]),
    (np.float16, (3, 40, 32), [16, 8, 2], [24, 35, 1], [1, 1, 1]),
    (np.float16, (9, 40, 32), [16, 9, 5], [8, 7, 1], [1, 2, 3]),
    (np.int8, (2, 3, 7, 48), [32, 4, 2, 2], [32, 5, -1, 0], [1, 1, 1, 1]),
    (np.int32, (2, 2, 3, 5, 8), [4, 3, 2, 2, 2], [6, 3, -1, 1, 1], [1, 1, 1, 1, 1]),
    (np.int32, (3, 4, 5, 6, 8), [8, 5, 4, 3, 2], [-1, 1, 1, -1, 1], [1, 2, 3, 2, 1]),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_tma_load(run: Machine, case: int) -> None:
    dtype, shape, box, at, steps = CASES[case]
    x = numbers(shape, dtype)
    want = box_of(x, at, box, steps)
    tensor = tensor_of(x, box, element_strides=steps)
    got = run(f"tma_load_{x.ndim}", [x], np.ones(want.shape, dtype), [want.nbytes, *at], tensor)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("span", [32, 64, 128])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_tma_load_swizzles(run: Machine, dtype: Any, span: int) -> None:
    columns = span // np.dtype(dtype).itemsize
    x = numbers((50, 2 * columns), dtype)
    at, box = [columns + 1, 5], [columns, 48]
    want = swizzled(np.ascontiguousarray(box_of(x, at, box, [1, 1])).view(np.uint8), span)
    got = run(
        "tma_load_2", [x], np.ones(want.shape, np.uint8), [want.nbytes, *at], tensor_of(x, box, swizzle_bytes=span)
    )
    np.testing.assert_array_equal(got, want)


def test_tma_load_of_random_boxes(run: Machine) -> None:
    rng = np.random.default_rng(0)
    for turn in range(60):
        rank = int(rng.integers(2, 6))
        shape = tuple(int(n) for n in rng.integers(1, 9, rank - 1)) + (int(rng.integers(1, 5)) * 8,)
        x = numbers(shape, np.float16, turn)
        box = [int(rng.integers(1, 4)) * 8, *(int(n) for n in rng.integers(1, 7, rank - 1))]
        steps = [1, *(int(n) for n in rng.integers(1, 4, rank - 1))]
        at = [int(rng.integers(-b, n + 1)) for b, n in zip(box, reversed(shape))]
        want = box_of(x, at, box, steps)
        tensor = tensor_of(x, box, element_strides=steps)
        got = run(f"tma_load_{rank}", [x], np.ones(want.shape, np.float16), [want.nbytes, *at], tensor)
        np.testing.assert_array_equal(got, want, str((shape, box, steps, at)))


def test_tma_load_far_away_is_zero(run: Machine) -> None:
    x = numbers((8, 8), np.float32)
    for at in itertools.product((-(2**31), 0, 2**31 - 1), repeat=2):
        got = run("tma_load_2", [x], np.ones((8, 8), np.float32), [256, *at], tensor_of(x, [8, 8]))
        np.testing.assert_array_equal(got, x if at == (0, 0) else 0)


def test_tma_load_of_tf32_rounds(run: Machine) -> None:
    x = np.random.default_rng(0).standard_normal((8, 32)).astype(np.float32)
    x.view(np.uint32)[:, :4] = x.view(np.uint32)[:, :4] & ~np.uint32(0x1FFF) | 0x1000  # ties
    want = ((x.view(np.uint32) + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)
    got = run("tma_load_2", [x], np.ones_like(x), [x.nbytes, 0, 0], tensor_of(x, [32, 8], tf32=True))
    np.testing.assert_array_equal(got, want)


# ---------------------------------------------------------------------------------------------------------- stores


@pytest.mark.parametrize("case", [i for i, case in enumerate(CASES) if max(case[4]) == 1])
def test_tma_store(run: Machine, case: int) -> None:
    dtype, shape, box, at, _ = CASES[case]
    x = numbers(tuple(reversed(box)), dtype, 1)
    y = numbers(shape, dtype, 2)
    got = run(f"tma_store_{y.ndim}", [x], y, [x.nbytes, *at], tensor_of(y, box), of_out=True)
    np.testing.assert_array_equal(got, stored(y, x, at, lambda old, new: new))


def stored(y: np.ndarray, x: np.ndarray, at: list[int], combine: Any) -> np.ndarray:
    """y where the box x at these coordinates was combined with it."""
    first = list(reversed(at))
    own = tuple(slice(max(f, 0), max(f + n, 0)) for f, n in zip(first, x.shape))
    theirs = tuple(slice(max(-f, 0), max(size - f, 0)) for f, size in zip(first, y.shape))
    result = y.copy()
    result[own] = combine(y[own], x[theirs])
    return result


@pytest.mark.parametrize("span", [32, 64, 128])
def test_tma_store_swizzles(run: Machine, span: int) -> None:
    x = numbers((16, span // 2), np.float16, 1)
    y = numbers((20, span), np.float16, 2)
    placed = swizzled(x.view(np.uint8), span)
    tensor = tensor_of(y, [span // 2, 16], swizzle_bytes=span)
    got = run("tma_store_2", [placed], y, [x.nbytes, 8, 7], tensor, of_out=True)
    np.testing.assert_array_equal(got, stored(y, x, [8, 7], lambda old, new: new))


@pytest.mark.parametrize(
    "dtype", [np.float32, ml_dtypes.bfloat16, np.float16, np.int32], ids=lambda d: np.dtype(d).name
)
@pytest.mark.parametrize("how", ["add", "min", "max"])
def test_tma_reductions(run: Machine, how: str, dtype: Any) -> None:
    if dtype is np.float32 and how != "add":
        pytest.skip("the chip has no such reduction")
    rng = np.random.default_rng(0)
    x, y = ((rng.standard_normal(shape) * 1000).astype(dtype) for shape in ((16, 8), (24, 24)))
    wide = np.float64 if np.dtype(dtype).kind != "i" else np.int64
    combine = {"add": np.add, "min": np.minimum, "max": np.maximum}[how]
    for at in ([8, 5], [-3, 12], [20, -4]):
        want = stored(y, x, at, lambda old, new: combine(old.astype(wide), new.astype(wide)).astype(dtype))
        got = run(f"tma_{how}", [x], y, [x.nbytes, *at], tensor_of(y, [8, 16]), of_out=True)
        np.testing.assert_array_equal(got, want)


# -------------------------------------------------------------------------------------------------------- clusters


@pytest.mark.parametrize("size", [1, 2, 8])
def test_cluster_map(run: Machine, size: int) -> None:
    blocks = 2 * size
    x = words(blocks * 32).reshape(2, size, 32)
    got = run(f"cluster_map_{size}", [x], np.zeros((2, size, 32, 3), np.uint32), blocks=blocks)
    np.testing.assert_array_equal(got[..., 0], np.broadcast_to(np.arange(size)[:, None], (2, size, 32)))
    np.testing.assert_array_equal(got[..., 1], size)
    np.testing.assert_array_equal(got[..., 2], np.roll(x, -1, 1))


def test_arrivals_from_the_cluster(run: Machine) -> None:
    x = words(128)
    np.testing.assert_array_equal(run("cluster_arrive", [x], np.zeros_like(x), blocks=4), x)


@pytest.mark.parametrize("blocks", [0b0010, 0b1111, 0b1001])
def test_multicast(run: Machine, blocks: int) -> None:
    x = numbers((40, 32), np.float32)
    at, box = [16, 20], [32, 24]
    want = box_of(x, at, box, [1, 1])
    unchanged = np.full(want.shape, 0x55555555, np.uint32).view(np.float32)
    got = run(
        "multicast",
        [x],
        np.zeros((4, *want.shape), np.float32),
        [want.nbytes, blocks, *at],
        tensor_of(x, box),
        blocks=4,
    )
    for rank in range(4):
        np.testing.assert_array_equal(got[rank], want if blocks >> rank & 1 else unchanged)
