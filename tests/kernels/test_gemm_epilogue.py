"""y = f(alpha scale_a scale_b a b + bias + beta residual) and column sums: every epilogue of every variant."""

from __future__ import annotations

import itertools
from typing import Any

import bounds
import emulated
import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth, wide
from gemm_cases import LAYOUTS, Row, call, draw, layouts_of, normal, output_dtypes, product, put, rows
from layouts import LAYOUTS as OTHER_LAYOUTS
from subject import Subject

ROWS = rows(emulated.load())

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
    "scales_of_rows": {"scale_a": "m", "scale_b": "1", "alpha": 2.0},
    "scales_of_columns": {"scale_a": "1", "scale_b": "n", "bias": True, "activation": "relu"},
    "scales_of_all": {"scale_a": "1", "scale_b": "1", "bias": True, "activation": "relu", "alpha": -0.5},
    "sums": {"column_sums": True},
    "sums_of_all": {"column_sums": True, "saved": True, "activation": "tanh", "residual": True},
}


def epilogue(
    name: str, rng: np.random.Generator, y_shape: tuple[int, ...], dtype: str, layout: str = ""
) -> dict[str, Any]:
    """The arguments of an epilogue for y of this shape and dtype; its matrices lie in this way, or in any."""
    options = dict(EPILOGUES[name])
    batches, m, n = y_shape
    sizes = {"bias": (n,), "residual": y_shape, "saved": y_shape, "scale_a": (m,), "scale_b": (n,)}
    for key, shape in sizes.items():
        if options.get(key):
            x = rng.standard_normal((1,) if options[key] == "1" else shape)
            x = x.astype("float32" if key.startswith("scale") else dtype)
            any_layout = list(OTHER_LAYOUTS)[rng.integers(len(OTHER_LAYOUTS))]
            change = OTHER_LAYOUTS["stepped" if x.ndim == 1 else layout or any_layout]
            options[key] = change(x) if x.size else x
    return options


def assert_epilogue(
    on: Subject,
    row: Row,
    a: np.ndarray,
    b: np.ndarray,
    name: str,
    dtype: str,
    seed: int,
    splits: int = 0,
    layout: str = "",
) -> None:
    """y, and its columns' sums where they are wanted, are within what is allowed of the product's sums."""
    options = epilogue(name, np.random.default_rng(seed), (a.shape[0], a.shape[1], b.shape[2]), dtype, layout)
    got = call(on, row, a, b, splits, out_dtype=dtype, **options)
    operands = a.astype(np.float64), b.astype(np.float64)
    exact = truth("gemm", *operands, **options)
    if not options.get("column_sums"):
        got, exact = (got,), (exact,)
    sums = truth("gemm", *operands)
    scale: Any = abs(options.get("alpha", 1.0))
    for side, shape in (("scale_a", (-1, 1)), ("scale_b", (1, -1))):
        if side in options:
            scale = scale * np.abs(wide(options[side]).reshape(shape))
    factors = {"bias": 1.0, "residual": options.get("beta", 1.0)}
    terms = [factor * wide(options[key]) for key, factor in factors.items() if key in options]
    of_sums = bounds.product(row, a, b, sums, "float32")
    allowed = bounds.epilogue(exact[0], sums, of_sums, scale, terms, "saved" in options)
    assert_within(got[0], exact[0], allowed + bounds.rounding(exact[0], dtype), f"{row} {name}")
    if options.get("column_sums"):  # of y before it is rounded, added up in float32
        allowed = allowed.sum((0, 1)) + 2.0**-21 * np.abs(exact[0]).sum((0, 1))
        assert_within(got[1], exact[1], allowed, f"{row} {name} sums")


@pytest.mark.parametrize("layout", OTHER_LAYOUTS)
@pytest.mark.parametrize("dtype, precision", [("float32", "float32"), ("float32", "tf32"), ("bfloat16", "float32")])
def test_epilogues_of_columns_in_pairs(kernels: Subject, dtype: str, precision: str, layout: str) -> None:
    """Rows of an even length, which are accessed in pairs where every matrix of the epilogue lies for that."""
    rng = np.random.default_rng(8)
    row = Row("", dtype, dtype, precision, 80, 0, 0, 0, 0, 0, 0)
    a, b = normal(rng, (3, 20, 40), dtype, precision), normal(rng, (3, 40, 36), dtype, precision)
    for number, name in enumerate(["residual", "derivative", "everything", "sums_of_all"]):
        assert_epilogue(kernels, row, a, b, name, output_dtypes(row)[number % 2 - 1], number, layout=layout)


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
@pytest.mark.parametrize("n", [51, 56])
def test_every_epilogue(kernels: Subject, row: Row, n: int, splits: int) -> None:
    """y of the rows (56) and the dtype, their first, that TMA stores where the epilogue lets it; and y of others."""
    rng = np.random.default_rng(7)
    left, right = layouts_of(kernels, row)[0]
    k = 3 * row.tile_k - 5
    a, b = normal(rng, (1, 37, k), row.a, row.precision), normal(rng, (1, k, n), row.b, row.precision)
    if row.a == "int8":
        a, b = a // 16, b // 16
    for number, name in enumerate(EPILOGUES):
        dtypes = [dtype for dtype in output_dtypes(row) if dtype != "int32"]
        dtype = dtypes[0 if n == 56 else number % len(dtypes)]
        assert_epilogue(kernels, row, put(a, left), put(b, right), name, dtype, number, splits)


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


@pytest.mark.parametrize("name", ["simt_64x64x16", "sm80_64x64x64", "sm90_64x64x64"])
def test_column_sums_of_many_rows_in_several_batches(kernels: Subject, name: str) -> None:
    """Of all batches so many that their sums take a second pass, with a workspace; of one batch there are not."""
    row = next(row for row in ROWS if row.name == name)
    m = 700 if row.capability == 0 else 700 * 16
    a, b = draw(row, (2, m, 8, 8), low=-1)
    left, right = layouts_of(kernels, row)[0]
    y, sums = call(kernels, row, put(a, left), put(b, right), splits=1, column_sums=True)
    np.testing.assert_array_equal(y, product(a, b).astype(y.dtype))
    np.testing.assert_array_equal(sums, product(a, b).sum((0, 1)))


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
