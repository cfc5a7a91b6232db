"""The families of the benchmark: their lists, what they count, and whether each judges its contenders rightly."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bench_families import (
    FAMILIES,
    Absent,
    copied,
    host,
    own_results,
    ratio,
    small_cases,
    ten_bits,
    tiny_cases,
)
from bench_package import module

pytestmark = pytest.mark.slow

Array = Any

# (operations, bytes), counted by hand.
BY_HAND: dict[tuple[str, str], tuple[int, int]] = {
    ("gemm", "fp32 33x17x29 nn"): (2 * 33 * 17 * 29, 4 * (957 + 493 + 561)),
    ("gemm", "bf16 8192x8192x8192 nt"): (1_099_511_627_776, 402_653_184),  # 2^40; three matrices of 128 MiB
    ("gemm", "bf16 1x28672x4096 nt"): (234_881_024, 2 * (4096 + 117_440_512 + 28672)),
    ("gemm", "bf16 96x 1024x1024x64 nt"): (12_884_901_888, 96 * 2 * (65_536 + 65_536 + 1_048_576)),
    ("gemm", "bf16 4096x4096x4096 nt gelu"): (137_438_953_472, 3 * 33_554_432 + 8192),
    ("gemm", "bf16 4096x4096x4096 nt residual"): (137_438_953_472, 4 * 33_554_432),
    ("gemm", "int8 4096x4096x4096 nt"): (137_438_953_472, 2 * 16_777_216 + 67_108_864),
    ("gemm", "e4m3 4096x4096x4096 nt"): (137_438_953_472, 2 * 16_777_216 + 33_554_432 + 8),
    ("gemm", "tf32 1024x1024x1024 nt"): (2_147_483_648, 12_582_912),
    ("rows", "fp32 softmax 65536x1024"): (0, 536_870_912),
    ("rows", "bf16 layer_norm 65536x1024"): (0, 268_435_456 + 4096),
    ("rows", "fp32 layer_norm_backward 65536x1024"): (0, 3 * 268_435_456 + 3 * 4096 + 2 * 262_144),
    ("rows", "fp32 cross_entropy 8192x50257"): (0, 1_646_821_376 + 65_536 + 4),
    ("rows", "fp32 cross_entropy_and_gradient 8192x50257"): (0, 2 * 1_646_821_376 + 65_536 + 4),
    ("optim", "fp32 adamw one of 2^28"): (0, 28 * 268_435_456),
    ("optim", "bf16 adamw Llama-1B-like"): (0, 14 * 1_235_814_400),
    ("optim", "fp32 sgd ResNet-50"): (0, 20 * 25_557_032),
    ("optim", "fp32 adam MNIST CNN"): (0, 28 * 693_962),
}
# Results and inputs of these are the bytes of the case, no more: vectors, scales and labels count there too.
WHOLE = ("gemm", "rows")


# ------------------------------------------------------------------------------------------------------------ lists


def test_the_families_are_there() -> None:
    assert {"gemm", "rows", "optim"} <= set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_list(name: str) -> None:
    cases = FAMILIES[name].cases
    assert all(case.family == name for case in cases)
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    assert any(case.quick for case in cases) and any(not case.quick for case in cases)
    for case in cases:
        assert json.loads(json.dumps(dict(case.params))) == case.params, case.name
        assert case.flop >= 0 and case.bytes > 0 and case.group, case.name
        assert isinstance(case.flop, int) and isinstance(case.bytes, int), case.name
    assert FAMILIES[name].cases == importlib.import_module(FAMILIES[name].__name__).cases


@pytest.mark.parametrize("key", BY_HAND, ids=" ".join)
def test_count_by_hand(key: tuple[str, str]) -> None:
    (case,) = (case for case in FAMILIES[key[0]].cases if case.name == key[1])
    assert (case.flop, case.bytes) == BY_HAND[key]


@pytest.mark.parametrize("family, case", [x for x in tiny_cases() if x.values[0].name in WHOLE])
def test_bytes_are_those_of_the_arrays(family: Any, case: Any) -> None:
    place = host(case)
    arrays = family.inputs(case, place)
    assert case.bytes == sum(x.nbytes for x in (*arrays.values(), *own_results(family, case, place, arrays)))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("backend", ["reference", "emulated"])
def test_every_case_has_contenders_or_reasons(name: str, backend: str) -> None:
    for case in FAMILIES[name].cases:
        found = FAMILIES[name].contenders(case, host(case, backend))
        assert found[0].ours, case.name
        labels = [x.name for x in found]
        assert len(set(labels)) == len(labels) >= 2, case.name
        assert all(x.reason for x in found if isinstance(x, Absent)), case.name
        assert all(x.version and x.arithmetic for x in found if not isinstance(x, Absent)), case.name


@pytest.mark.parametrize("name", FAMILIES)
def test_the_largest_are_not_run_on_a_cpu(name: str) -> None:
    largest = max(FAMILIES[name].cases, key=lambda case: max(case.flop, 100 * case.bytes))
    assert all(isinstance(x, Absent) for x in FAMILIES[name].contenders(largest, host(largest)))


# -------------------------------------------------------------------------------------------------------- judgement


@pytest.mark.parametrize("family, case", small_cases())
def test_contenders_are_within_their_bounds(family: Any, case: Any) -> None:
    place = host(case)
    arrays = family.inputs(case, place)
    ran = 0
    for contender in family.contenders(case, place):
        if isinstance(contender, Absent):
            continue
        given = copied(arrays)
        results = contender.prepare(given)()
        found = family.deviation(case, place, arrays, results)
        assert found.ratio <= 1, (contender.name, found)
        assert found.error < float("inf"), contender.name
        for key, x in given.items():
            if key not in family.changed:
                np.testing.assert_array_equal(bits(x), bits(arrays[key]), err_msg=f"{contender.name} changed {key}")
        ran += 1
    assert ran or case.dtype != "float32"


@pytest.mark.parametrize("family, case", [x for x in tiny_cases("float32") if x.values[0].changed])
def test_steps_in_place_follow_each_other(family: Any, case: Any) -> None:
    """The second call starts from what the first has left."""
    place = host(case)
    for contender in family.contenders(case, place):
        if not isinstance(contender, Absent):
            given = copied(family.inputs(case, place))
            call = contender.prepare(given)
            call()
            between = copied(given)
            assert ratio(family, case, place, between, call()) <= 1, contender.name


def bits(x: Array) -> Array:
    """As integers: a NaN equals itself."""
    return np.ascontiguousarray(x).reshape(-1).view(np.uint8)


def one_element_off(x: Array, rng: np.random.Generator) -> Array:
    """A tenth of the largest number, at one place."""
    y = x.copy()
    where = tuple(rng.integers(0, n) for n in y.shape)
    wide = y.astype(np.float64)
    y[where] = (wide[where] + 0.1 * np.abs(wide).max() + (y.dtype.kind in "iu")).astype(y.dtype)
    return y


def not_a_number(x: Array, rng: np.random.Generator) -> Array:
    """One NaN; integers have none."""
    y = x.copy()
    if y.dtype.kind in "iu":
        return one_element_off(x, rng)
    y[tuple(rng.integers(0, n) for n in y.shape)] = np.nan
    return y


FAULTS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "one element": one_element_off,
    "NaN": not_a_number,
    "zeros": lambda x, rng: np.zeros_like(x),
    "shape": lambda x, rng: x[None],
    "dtype": lambda x, rng: x.astype(np.float64),
    "constant": lambda x, rng: np.full_like(x, 1),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family, case", tiny_cases())
def test_a_wrong_result_is_outside(family: Any, case: Any, fault: str) -> None:
    place, rng = host(case), np.random.default_rng(0)
    arrays = family.inputs(case, place)
    right = own_results(family, case, place, arrays)
    assert ratio(family, case, place, arrays, right) <= 1
    for i, result in enumerate(right):
        wrong = [*right[:i], FAULTS[fault](result, rng), *right[i + 1 :]]
        assert not ratio(family, case, place, arrays, wrong) <= 1, i


@pytest.mark.parametrize("family, case", tiny_cases())
def test_results_for_other_inputs_are_outside(family: Any, case: Any) -> None:
    place = host(case)
    arrays, others = family.inputs(case, place), family.inputs(case, place)
    stale = own_results(family, case, place, others)
    assert not ratio(family, case, place, arrays, stale) <= 1


@pytest.mark.parametrize("family, case", tiny_cases("float32"))
def test_tf32_is_not_float32(family: Any, case: Any) -> None:
    """Each input alone in fewer bits is too much, unless the result does not depend on those that it loses."""
    place = host(case)
    arrays = family.inputs(case, place)
    right, tried = own_results(family, case, place, arrays), 0
    for name in (name for name, x in arrays.items() if x.dtype == np.float32):
        rounded = own_results(family, case, place, {**arrays, name: ten_bits(arrays[name])})
        same = all(np.array_equal(x, y) for x, y in zip(right, rounded, strict=True))
        if not same and name != "mean":  # ours takes away what rounding left in a mean
            assert not ratio(family, case, place, arrays, rounded) <= 1, name
            tried += 1
    assert tried


# ----------------------------------------------------------------------------------------- what only a GPU's list has


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """A place that families take for a GPU, in host memory."""
    torch = pytest.importorskip("torch")
    peers = module("harness.peers")
    monkeypatch.setattr(peers, "torch_for", lambda kind: torch)
    monkeypatch.setattr(peers, "special", lambda place: importlib.import_module("scipy.special"))

    def place(case: Any) -> Any:
        found = host(case)
        found.name, found.backend = "cuda:0", "cuda"
        return found

    return place


@pytest.mark.parametrize("name", FAMILIES)
def test_lists_for_a_gpu(name: str, as_gpu: Callable[[Any], Any]) -> None:
    for case in FAMILIES[name].cases:
        found = FAMILIES[name].contenders(case, as_gpu(case))
        assert found[0].ours and len({x.name for x in found}) == len(found), case.name
        assert any(not isinstance(x, Absent) and x.name.startswith("torch") for x in found), case.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "family, name",
    [
        ("gemm", "fp32 33x18x29 nt relu"),
        ("gemm", "fp32 33x18x29 nt silu"),
        ("rows", "fp32 layer_norm 256x1024"),
        ("rows", "fp32 cross_entropy_and_gradient 256x1024"),
    ],
)
def test_forms_of_torch_that_only_a_gpu_gets(family: str, name: str, as_gpu: Callable[[Any], Any]) -> None:
    """torch.compile and the epilogue of cuBLASLt run on host memory too; how quick they are there is no matter."""
    found = FAMILIES[family]
    (case,) = (x for x in found.cases if x.name == name)
    place = as_gpu(case)
    ran = set()
    for contender in found.contenders(case, place):
        if contender.name in ("torch.compile", "torch cuBLASLt epilogue"):
            sets = [found.inputs(case, place) for _ in range(2)]
            calls = [contender.prepare(copied(arrays)) for arrays in sets]
            for arrays, call in zip(sets, calls, strict=True):
                assert ratio(found, case, place, arrays, call()) <= 1, contender.name
            ran.add(contender.name)
    assert "torch.compile" in ran


def test_cases_stay_as_they_are() -> None:
    """Fixed before tuning: nobody can change a case of a list in place."""
    case = FAMILIES["gemm"].cases[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.flop = 0
