"""y = f(alpha a b + bias + beta residual) on every variant: exact on integers, within the bound on reals."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import emulated
import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth, wide
from gemm_cases import (
    ALIGNED,
    LAYOUTS,
    Row,
    bound,
    integers,
    normal,
    output_dtypes,
    product,
    put,
    rows,
    serves,
)
from layouts import LAYOUTS as OTHER_LAYOUTS
from subject import SCHEDULES, Subject

ROWS = rows(emulated.load())
KINDS = ["non_negative", "identity", "one_hot_k"]
SMALL_SIZES = [0, 1, 3, 8, 15, 16, 17]


def draw(row: Row, shape: tuple[int, int, int, int], seed: int = 0, low: int = -4) -> tuple[np.ndarray, np.ndarray]:
    """Integer operands (batches, m, k) and (batches, k, n)."""
    rng = np.random.default_rng(seed)
    batches, m, n, k = shape
    return integers(rng, (batches, m, k), row.a, low), integers(rng, (batches, k, n), row.b, low)


def call(on: Subject, row: Row, a: np.ndarray, b: np.ndarray, splits: int = 0, **options: Any) -> Any:
    """The product by this variant, k in so many parts if given."""
    variant = f"{row.name}*{splits}" if splits else row.name
    return on("gemm", a, b, precision=row.precision, variant=variant, **options)


def assert_exact(on: Subject, row: Row, a: np.ndarray, b: np.ndarray, what: str = "", **options: Any) -> None:
    """The product rounded once is what comes out."""
    got = call(on, row, a, b, **options)
    np.testing.assert_array_equal(got, product(a, b).astype(got.dtype), err_msg=f"{row} {what}")


def layouts_of(on: Subject, row: Row) -> list[tuple[str, str]]:
    """The aligned layouts of both operands that the variant takes."""
    a, b = draw(row, (1, 32, 32, 32))
    return [
        (left, right)
        for left, right in itertools.product(ALIGNED, repeat=2)
        if serves(on, row, put(a, left), put(b, right))
    ]


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


EPILOGUES: dict[str, dict[str, Any]] = {
    "none": {},
    "bias": {"bias": True},
    "relu": {"bias": True, "activation": "relu", "alpha": 0.5},
    "gelu": {"bias": True, "activation": "gelu"},
    "silu": {"activation": "silu", "alpha": -0.25},
    "residual": {"residual": True, "beta": -2.0},
    "everything": {"bias": True, "residual": True, "activation": "gelu_tanh", "alpha": 0.125, "beta": 0.5},
    "derivative": {"saved": True, "activation": "silu"},
    "relu_derivative": {"saved": True, "activation": "relu", "alpha": 2.0},
    "scales": {"scale_a": "m", "scale_b": "1", "bias": True},
    "scales_of_all": {"scale_a": "1", "scale_b": "1", "bias": True, "activation": "relu", "alpha": -0.5},
    "sums": {"column_sums": True},
    "sums_of_all": {"column_sums": True, "saved": True, "activation": "tanh", "residual": True},
}


def epilogue(name: str, rng: np.random.Generator, y_shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """The arguments of an epilogue for y of this shape and dtype; its arrays lie in any way."""
    options = dict(EPILOGUES[name])
    batches, m, n = y_shape
    sizes = {"bias": (n,), "residual": y_shape, "saved": y_shape, "scale_a": (m,), "scale_b": (n,)}
    for key, shape in sizes.items():
        if options.get(key):
            x = rng.standard_normal((1,) if options[key] == "1" else shape)
            x = x.astype("float32" if key.startswith("scale") else dtype)
            layout = "stepped" if x.ndim == 1 else list(OTHER_LAYOUTS)[rng.integers(len(OTHER_LAYOUTS))]
            options[key] = OTHER_LAYOUTS[layout](x) if x.size else x
    return options


def assert_epilogue(
    on: Subject, row: Row, a: np.ndarray, b: np.ndarray, name: str, dtype: str, seed: int, splits: int = 0
) -> None:
    """Within the bound of the sums, carried through the epilogue, of which no step more than doubles an error."""
    rng = np.random.default_rng(seed)
    options = epilogue(name, rng, (a.shape[0], a.shape[1], b.shape[2]), dtype)
    got = call(on, row, a, b, splits, out_dtype=dtype, **options)
    want = reference.gemm(
        a.astype(np.float64), b.astype(np.float64), **{key: wide(value) for key, value in options.items()}
    )
    sums = np.matmul(a.astype(np.float64), b.astype(np.float64))
    scale = abs(options.get("alpha", 1.0))
    for side, shape in (("scale_a", (-1, 1)), ("scale_b", (1, -1))):
        if options.get(side) is not None:
            scale = scale * np.abs(options[side].reshape(shape)).astype(np.float64)
    within = 2 * scale * bound(row, a, b, sums, "float32")
    terms = [np.abs(wide(options[key])) for key in ("bias", "residual") if options.get(key) is not None]
    beta = abs(options.get("beta", 1.0))
    within = within + 2.0**-22 * (scale * np.abs(sums) + sum(beta * term for term in terms) + 1)
    if options.get("saved") is not None:
        within = within * np.maximum(np.abs(want[0] if isinstance(want, tuple) else want), 1)
    y, y_want = (got[0], want[0]) if isinstance(got, tuple) else (got, want)
    unit = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert_within(y, y_want, within + unit * np.abs(y_want) + (2.0**-25 if dtype == "float16" else 0), f"{row} {name}")
    if isinstance(got, tuple):
        rows_bound = within.sum((0, 1)) + 2.0**-21 * np.abs(y_want).sum((0, 1))
        assert_within(got[1], want[1], rows_bound, f"{row} {name} sums")


@pytest.mark.slow
def test_layouts_offsets_and_epilogues_in_pairs(kernels: Subject) -> None:
    """Every pair of layouts, and every layout with every epilogue, on the variant that the plan chooses."""
    cases = {(a, b, "none") for a, b in itertools.product(LAYOUTS, repeat=2)}
    cases |= {(layout, "rows", name) for layout, name in itertools.product(LAYOUTS, EPILOGUES)}
    cases |= {("rows", layout, name) for layout, name in itertools.product(LAYOUTS, EPILOGUES)}
    types = [("float32", "float32"), ("float32", "tf32"), ("bfloat16", "float32"), ("float16", "float32")]
    for number, (left, right, name) in enumerate(sorted(cases)):
        dtype, precision = types[number % len(types)]
        row = Row("", dtype, dtype, precision, 80, 0, 0, 0, 0, 0, 0)
        rng = np.random.default_rng(number)
        a, b = normal(rng, (2, 21, 40), dtype, precision), normal(rng, (2, 40, 35), dtype, precision)
        assert_epilogue(kernels, row, put(a, left), put(b, right), name, output_dtypes(row)[number % 2 - 1], number)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("splits", [0, 3])
def test_every_epilogue(kernels: Subject, row: Row, splits: int) -> None:
    rng = np.random.default_rng(7)
    left, right = layouts_of(kernels, row)[0]
    k = 3 * row.tile_k - 5
    a, b = normal(rng, (1, 37, k), row.a, row.precision), normal(rng, (1, k, 51), row.b, row.precision)
    if row.a == "int8":
        a, b = a // 16, b // 16
    for number, name in enumerate(EPILOGUES):
        dtypes = [dtype for dtype in output_dtypes(row) if dtype != "int32"]
        assert_epilogue(kernels, row, put(a, left), put(b, right), name, dtypes[number % len(dtypes)], number, splits)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_splits_are_exact_and_repeatable(kernels: Subject, row: Row) -> None:
    left, right = layouts_of(kernels, row)[0]
    for k, splits in [(4 * row.tile_k, 4), (5 * row.tile_k - 3, 2), (row.tile_k - 1, 3)]:
        a, b = draw(row, (2, 20, 33, k))
        assert_exact(kernels, row, put(a, left), put(b, right), f"{splits} splits", splits=splits)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_random_cases(kernels: Subject, row: Row) -> None:
    """Fifty of them: sizes, batches, layouts, splits, epilogues."""
    served = layouts_of(kernels, row)
    anywhere = "gather" in row.name or row.capability == 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        m, n, k = (int(rng.integers(1, 1 + high)) for high in (min(row.tile_m, 128) + 20, 100, 2 * row.tile_k + 9))
        batches = int(rng.integers(1, 4))
        left, right = served[rng.integers(len(served))]
        if anywhere:
            left, right = (list(LAYOUTS)[i] for i in rng.integers(len(LAYOUTS), size=2))
        a = normal(rng, (batches, m, k), row.a, row.precision)
        b = normal(rng, (1 if rng.integers(3) == 0 else batches, k, n), row.b, row.precision)
        a, b = put(a, left), np.broadcast_to(put(b, right), (batches, k, n))
        dtypes = [dtype for dtype in output_dtypes(row) if dtype != "int32"]
        name, dtype = list(EPILOGUES)[rng.integers(len(EPILOGUES))], dtypes[rng.integers(len(dtypes))]
        assert_epilogue(kernels, row, a, b, name, dtype, seed, int(rng.integers(0, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_bound_on_reals(kernels: Subject, row: Row) -> None:
    """With sums that round, and on the emulator with sums that are cut off too, as those of the tensor cores are."""
    rng = np.random.default_rng(4)
    left, right = layouts_of(kernels, row)[0]
    truncating = kernels.name == "emulated" and row.capability
    for m, n, k in [(30, 50, 3), (33, 20, 300), (5, 5, 2000)]:
        a, b = normal(rng, (1, m, k), row.a, row.precision), normal(rng, (1, k, n), row.b, row.precision)
        want = np.matmul(a.astype(np.float64), b.astype(np.float64))
        for dtype in output_dtypes(row):
            for mode in [contextlib.nullcontext, *([emulated.truncating] if truncating else [])]:
                with mode():
                    got = call(kernels, row, put(a, left), put(b, right), out_dtype=dtype)
                assert_within(got, want, bound(row, a, b, want, dtype), f"{row} {dtype}")


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_nothing_to_add_up_leaves_the_epilogue(on: Subject, dtype: str) -> None:
    a, b = np.zeros((2, 3, 0), dtype), np.zeros((2, 0, 5), dtype)
    bias, residual = np.arange(5).astype(dtype), np.full((2, 3, 5), -3).astype(dtype)
    got = on("gemm", a, b, bias, "relu", residual=residual)
    np.testing.assert_array_equal(got, np.broadcast_to(np.maximum(np.arange(5) - 3, 0), (2, 3, 5)).astype(dtype))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"])
def test_fused_activation(on: Subject, activation: str) -> None:
    rng = np.random.default_rng(5)
    a, b, bias = (rng.standard_normal(s).astype(np.float32) for s in [(1, 20, 30), (1, 30, 40), (40,)])
    want = truth("gemm", a, b, bias, activation)
    assert_as_good(on("gemm", a, b, bias, activation), want, reference.gemm(a, b, bias, activation), 3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_not_a_number_reaches_its_row_and_column_only(on: Subject, dtype: str) -> None:
    a, b = np.ones((1, 40, 33), dtype), np.ones((1, 33, 50), dtype)
    a[0, 39, 32], b[0, 32, 7] = np.nan, np.inf
    want = np.full((1, 40, 50), 33.0, dtype)
    want[0, :, 7], want[0, 39, :] = np.inf, np.nan
    np.testing.assert_array_equal(on("gemm", a, b).astype(np.float32), want.astype(np.float32))


def hardest() -> list[Row]:
    """Two blocks that share tiles, two consumers that take turns, both operands gathered, registers twice used, ..."""
    chosen = {}
    for row in ROWS:
        kind = (row.name.partition("_")[0], row.name.rpartition("_")[2], row.a.startswith("float8"), row.tile_n)
        chosen.setdefault(kind, row)
    return list(chosen.values())


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
