"""What the benchmark's bounds tell apart: float32 sums from sums in fewer bits, a whole check from a sample."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from bench_families import FAMILIES, host, own_results, places, ratio, ten_bits
from bench_package import module

Array = Any


def half_sums(a: Array, b: Array, step: int) -> Array:
    """a @ b with sums kept in float16 after every `step` products, as a tensor core with a float16 accumulator."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float16)
    for start in range(0, a.shape[1], step):
        part = slice(start, start + step)
        total = (total + a[:, part].astype(np.float32) @ b[part].astype(np.float32)).astype(np.float16)
    return total


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "tf32"])
@pytest.mark.parametrize("k", [64, 1024, 8192])
def test_sums_in_float16_are_outside(dtype: str, k: int) -> None:
    gemm = FAMILIES["gemm"]
    cases = module("families.gemm.cases")
    case = cases.product("planted", dtype, 64, 64, k, "nn")
    place = host(case)
    arrays = gemm.inputs(case, place)
    a, b = arrays["a"], arrays["b"]
    low = half_sums(a, b, 16).astype(a.dtype)
    exact = (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype)
    assert ratio(gemm, case, place, arrays, [exact]) <= 1
    if dtype != "tf32":  # whose own products are hardly better
        assert not ratio(gemm, case, place, arrays, [low]) <= 1


def test_products_in_bfloat16_are_not_tf32() -> None:
    gemm = FAMILIES["gemm"]
    cases = module("families.gemm.cases")
    case = cases.product("planted", "tf32", 64, 64, 1024, "nn")
    place = host(case)
    arrays = gemm.inputs(case, place)
    low = np.matmul(*(arrays[x].astype(ml_dtypes.bfloat16).astype(np.float32) for x in "ab"))
    assert not ratio(gemm, case, place, arrays, [low]) <= 1
    assert ratio(gemm, case, place, arrays, [np.matmul(*(ten_bits(arrays[x]) for x in "ab"))]) <= 1


@pytest.mark.parametrize(
    "op, dtype",
    [
        *((op, "float32") for op in ("softmax", "softmax_backward", "layer_norm", "layer_norm_backward")),
        *((op, "bfloat16") for op in ("softmax", "softmax_backward", "layer_norm", "layer_norm_backward")),
        ("cross_entropy", "float32"),  # in bfloat16 a loss itself has fewer bits than float16
        ("cross_entropy_and_gradient", "float32"),
    ],
)
def test_rows_computed_in_float16_are_outside(op: str, dtype: str) -> None:
    """The library's own formulas in float16: sums of 4096 terms lose what 10 bits cannot hold."""
    rows = FAMILIES["rows"]
    cases = module("families.rows.cases")
    case = cases.row_case(op, 8, 4096, dtype)
    place = host(case)
    arrays = rows.inputs(case, place)
    low = {name: x.astype(np.float16) if x.dtype.kind != "i" else x for name, x in arrays.items()}
    with np.errstate(all="ignore"):
        results = rows.ARRAYS[op](np, low)
    results = results if isinstance(results, tuple) else (results,)
    results = [np.asarray(y).astype(arrays["y" if "y" in arrays else "x"].dtype) for y in results]
    assert not ratio(rows, case, place, arrays, results) <= 1


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_a_step_in_fewer_bits_is_outside(rule: str) -> None:
    """Parameters or a moment rounded to TF32 within the tensors, and nowhere else."""
    optim = FAMILIES["optim"]
    (case,) = (x for x in optim.cases if x.name == f"fp32 {rule} three of 1, 67 and 300")
    place = host(case)
    arrays = optim.inputs(case, place)
    right = own_results(optim, case, place, arrays)
    for which in range(1 + len(right[1])):
        parameters, moments = right[0].copy(), right[1].copy()
        for tensor in optim.parts(case, parameters if which == 0 else moments[which - 1]):
            tensor[...] = ten_bits(tensor)
        assert not ratio(optim, case, place, arrays, [parameters, moments]) <= 1, which


@pytest.mark.parametrize("checked", [4, 2**17])
def test_nothing_between_the_tensors_of_a_list_may_change(checked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    optim = FAMILIES["optim"]
    monkeypatch.setattr(optim, "CHECKED", checked)
    (case,) = (x for x in optim.cases if x.name == "fp32 adam three of 1, 67 and 300")
    place = host(case)
    arrays = optim.inputs(case, place)
    parameters, moments = own_results(optim, case, place, arrays)
    assert len(parameters) == 64 + 128 + 320  # each begins at a multiple of 256 bytes
    for behind in (1, 64 + 67, 192 + 300):
        wrong = parameters.copy()
        wrong[behind] = np.nextafter(wrong[behind], np.float32(9))
        assert not ratio(optim, case, place, arrays, [wrong, moments]) <= 1, behind


@pytest.mark.parametrize("total, strips", [(1, 4), (4, 4), (5, 4), (1000, 7), (2**40, 64)])
def test_samples_meet_every_strip_and_both_ends(total: int, strips: int) -> None:
    truth = module("harness.truth")
    for seed in range(20):
        indices = truth.sample(places.HostPlace("reference", seed), total, strips)
        assert indices[0] == 0 and indices[-1] == total - 1 and len(indices) == min(total, strips)
        if total > strips:
            np.testing.assert_array_equal(np.searchsorted(np.arange(1, strips) * total // strips, indices, "right"),
                                          np.arange(strips))  # fmt: skip
