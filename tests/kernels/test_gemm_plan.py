"""Plans of matrix products: pure functions of sizes, strides, alignment and device."""

from __future__ import annotations

import types
from typing import Any

import emulated
import ml_dtypes
import numpy as np
import pytest
from gemm_cases import Row, rows
from subject import Subject

MODULE = emulated.load()
H200 = MODULE.DeviceSpec(90, 132, 232448)
A100 = MODULE.DeviceSpec(80, 108, 166912)
T4 = MODULE.DeviceSpec(75, 40, 65536)
LOW = ["bfloat16", "float16", "int8", "float8_e4m3fn", "float8_e5m2"]


def untouched(shape: tuple[int, ...], dtype: str, strides: tuple[int, ...] | None = None, offset: int = 0) -> Any:
    """An array of this shape, as the module sees it; strides in elements. Nothing is there."""
    kind = np.dtype(dtype)
    if strides is None:
        strides = (shape[1] * shape[2], shape[2], 1)
    data = types.SimpleNamespace(ptr=1 << 40 | offset * kind.itemsize, device_id=0)
    steps = tuple(stride * kind.itemsize for stride in strides)
    return types.SimpleNamespace(data=data, dtype=kind, shape=shape, strides=steps)


def plan(
    m: int, n: int, k: int, dtype: str = "bfloat16", spec: Any = H200, batches: int = 1, variant: str = "", **how: Any
) -> Any:
    """The plan of a K-major product of dense operands."""
    a, b = untouched((batches, m, k), dtype), untouched((batches, k, n), dtype, (k * n, 1, k), how.get("offset", 0))
    options = {"column_sums": how.get("sums", False), "precision": how.get("precision", "float32")}
    return MODULE.plan("gemm", [a, b], spec=spec, variant=variant, **options)


def test_large_products_take_large_tiles() -> None:
    assert plan(8192, 8192, 8192).variant == "sm90_128x256x64_cluster2"
    assert plan(8192, 8192, 8192).blocks == 132
    assert plan(8192, 8192, 8192, "float32").variant == "simt_128x128x8"
    assert plan(8192, 8192, 8192, "float32", precision="tf32").variant.startswith("sm90_128x")
    assert plan(8192, 8192, 8192, spec=A100).variant.startswith("sm80_")


def test_few_tiles_and_a_long_k_are_split() -> None:
    chosen = plan(128, 256, 65536)
    assert "*" in chosen.variant
    assert chosen.workspace_bytes >= 2 * 128 * 256 * 4
    assert "*" not in plan(8192, 8192, 8192).variant
    forced = plan(64, 64, 640, variant="sm90_64x64x64*4")
    assert (forced.variant, forced.blocks) == ("sm90_64x64x64*4", 4)
    assert plan(64, 64, 640, variant="sm90_64x64x64*1000").variant == "sm90_64x64x64*10"  # whole tiles of k


def test_splits_fill_the_device_and_no_more() -> None:
    for m, n, k in [(64, 64, 100000), (128, 4096, 4096), (16, 11008, 4096), (1, 32000, 4096)]:
        chosen = plan(m, n, k)
        assert chosen.blocks <= 132, chosen.variant


@pytest.mark.parametrize("dtype", [*LOW, "tf32"])
@pytest.mark.parametrize("spec", [H200, A100], ids=["H200", "A100"])
def test_matrix_instructions_whatever_the_alignment(dtype: str, spec: Any) -> None:
    """No product of these types with m, n, k of 64 or more falls to the plain cores."""
    if spec is A100 and dtype.startswith("float8"):
        with pytest.raises(NotImplementedError, match=r"gemm: argument 'a': .* compute capability 80, got"):
            plan(64, 64, 64, dtype, spec)
        return
    real, precision = ("float32", "tf32") if dtype == "tf32" else (dtype, "float32")
    for m, n, k in [(64, 64, 64), (65, 67, 71), (4097, 63 + 64, 129), (64, 100000, 64)]:
        ways = [(m * k, k, 1), (m * k, 1, m), (0, 2 * k, 2), (0, -k, 1), (0, 0, 1), (0, 1, 0), (m * k, k + 1, 1)]
        for strides in ways:
            for offset in (0, 1, 8):
                a = untouched((2, m, k), real, strides, offset)
                b = untouched((2, k, n), real, (0, n, 1), offset)
                chosen = MODULE.plan("gemm", [a, b], precision=precision, spec=spec)
                assert chosen.variant.startswith("sm"), f"{m} {n} {k} {strides} {offset}"


def test_older_devices_have_the_plain_cores_only() -> None:
    assert plan(512, 512, 512, "float32", T4).variant.startswith("simt_")
    assert plan(512, 512, 512, "float32", T4, precision="tf32").variant.startswith("simt_")
    with pytest.raises(NotImplementedError, match=r"on compute capability 75, got \(1, 512, 512\) bfloat16"):
        plan(512, 512, 512, "bfloat16", T4)


def test_rows_of_hopper_want_exactly_hopper() -> None:
    blackwell = MODULE.DeviceSpec(100, 148, 232448)
    assert plan(4096, 4096, 4096, spec=blackwell).variant.startswith("sm80_")


@pytest.mark.parametrize("elements", [2**31 - 1, 2**31, 2**31 + 1, 2**32 + 1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_offsets_beyond_31_bits(elements: int, dtype: str) -> None:
    for m, n, k in [(elements, 1, 1), (1, elements, 1), (1, 1, elements), (elements // 64, 8, 64)]:
        if dtype == "bfloat16" and max(m, n, k) >= 2**31 - 1:
            with pytest.raises(NotImplementedError, match=r"gemm: argument 'a': expected"):
                plan(m, n, k, dtype)
        elif m <= 2**31 and n <= 2**31:
            assert plan(m, n, k, dtype).blocks > 0


def test_workspace_of_column_sums() -> None:
    assert plan(4096, 512, 64).workspace_bytes == 0
    assert plan(4096, 512, 64, sums=True).workspace_bytes >= 4096 // 16 * 512 * 4


def test_empty_products_start_no_block() -> None:
    for m, n, k in [(0, 5, 7), (5, 0, 7), (0, 0, 0)]:
        for dtype in ("bfloat16", "float32"):
            assert plan(m, n, k, dtype).blocks == 0
    assert plan(5, 7, 0).blocks > 0  # the epilogue still has to write y


def test_the_tables_keep_to_their_budget() -> None:
    assert len(MODULE.variants("gemm")) <= 96
    names = {row.name for row in rows(MODULE)}
    assert {name.partition("_")[0] for name in names} == {"sm90", "sm80", "simt"}
    assert all(isinstance(row, Row) and row.stages >= 1 for row in rows(MODULE))


def test_refusals(kernels: Subject) -> None:
    a = np.zeros((1, 2, 3))
    with pytest.raises(NotImplementedError, match=r"gemm: argument 'a': expected a pair .*, got \(1, 2, 3\) float64"):
        kernels("gemm", a, a.swapaxes(1, 2))
    a = a.astype(np.float32)
    with pytest.raises(ValueError, match=r"gemm: argument 'b': expected \(1, 3, 3\) float32, got \(1, 2, 3\) float32"):
        kernels("gemm", a, a)
    b = a.swapaxes(1, 2)
    with pytest.raises(ValueError, match=r"gemm: argument 'variant': expected a row of the table that serves"):
        kernels("gemm", a, b, variant="none such")
    with pytest.raises(ValueError, match=r"gemm: argument 'residual': expected float32 as y, got \(1, 2, 2\) float64"):
        kernels("gemm", a, b, residual=np.zeros((1, 2, 2)))
    with pytest.raises(TypeError, match=r"gemm: argument 'out_dtype': expected float32 for float32 operands, got bf"):
        kernels("gemm", a, b, out_dtype="bfloat16")
    with pytest.raises(NotImplementedError, match=r"int32"):
        kernels("gemm", a.astype(np.int8), b.astype(np.int8), alpha=2.0)
    with pytest.raises(NotImplementedError, match=r"a pair of operands with a kernel"):
        kernels("gemm", a.astype(ml_dtypes.bfloat16), b.astype(np.float16))


def outcome(on: Subject, *operands: Any, **how: Any) -> tuple[Any, str]:
    """The dtype of the product, or the type and the words of the refusal."""
    try:
        return on("gemm", *operands, **how).dtype, ""
    except (TypeError, NotImplementedError) as error:
        return TypeError if isinstance(error, TypeError) else NotImplementedError, str(error)


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
@pytest.mark.parametrize("dtype", ["float32", *LOW])
def test_the_dtype_of_a_product(on: Subject, dtype: str, scaled: bool) -> None:
    """What y is unless asked, what it may be asked for, and the words of a refusal: the same on every backend."""
    a, b = np.ones((1, 2, 16), dtype), np.ones((1, 16, 3), dtype)
    scales = {"scale_a": np.ones(1, np.float32)} if scaled else {}
    for wanted in (None, "float32", np.float16, np.dtype("bfloat16"), "int32", "float64", "int8", "float8_e5m2"):
        want = outcome(Subject("reference"), a, b, out_dtype=wanted, **scales)
        got = outcome(on, a, b, out_dtype=wanted, **scales)
        assert got == want, wanted


@pytest.mark.parametrize("rank", [2, 3])
def test_as_many_int8_products_as_int32_holds(on: Subject, rank: int) -> None:
    a = np.full((1, 1, 2**17)[-rank:], -128, np.int8)
    longest = a[..., :-1]
    np.testing.assert_array_equal(on("gemm", longest, longest.swapaxes(-1, -2)).ravel(), [(2**17 - 1) * 2**14])
    with pytest.raises(NotImplementedError) as refused:
        on("gemm", a, a.swapaxes(-1, -2))
    message = "gemm: argument 'a': expected at most 131071 columns, whose products int32 can hold, got 131072"
    assert str(refused.value) == message
    if on.name == "reference":
        assert on("gemm", a, a.swapaxes(-1, -2), out_dtype="float32").ravel() == [2.0**31]
    else:  # kernels add up in int32, whatever y is
        with pytest.raises(NotImplementedError, match=message):
            on("gemm", a, a.swapaxes(-1, -2), out_dtype="float32")
