"""Ceilings, what torch sees of arrays, and the GPU's half of the harness on a CuPy made of NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import bench_family as b
import numpy as np
import numpy_cupy
import pytest
from bench_family import rows
from bench_package import module

measure, places = (module(f"harness.{name}") for name in ("measure", "places"))


# Ceilings


def test_ceilings_are_measured_and_only_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    roofline_module = module("harness.roofline")
    monkeypatch.setattr(roofline_module, "SIDES", {"cpu": (64,)})
    place = places.HostPlace()
    place.cache_bytes = 1 << 16
    roofline = roofline_module.Roofline(place).measure()
    assert set(roofline.flop_per_s) == {"float32", "float64"} and min(roofline.flop_per_s.values()) > 1e6
    assert roofline.copy_bytes_per_s > 1e7 and roofline.read_bytes_per_s > 1e7
    roofline.flop_per_s["float32"] = roofline.copy_bytes_per_s = 1e18
    roofline.measure()
    assert roofline.flop_per_s["float32"] == roofline.copy_bytes_per_s == 1e18


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int8", "tf32", "float8_e4m3fn"])
def test_every_ceiling_multiplies_what_it_says(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    place = places.HostPlace()
    a, x = (place.normal((32, 32), "float32" if dtype == "tf32" else dtype, 16.0) for _ in range(2))
    for product in module("harness.roofline").products(place, a, x, dtype):
        try:
            y = product()
        except (RuntimeError, NotImplementedError):
            assert dtype == "float8_e4m3fn"  # for GPUs, and for some CPUs
            continue
        y = y.to(torch.float64).numpy() if isinstance(y, torch.Tensor) else y
        # the second factor of 8 bits is taken as it lies, by columns
        right = x.T if dtype in ("float8_e4m3fn", "int8") else x
        want = a.astype(float) @ right.astype(float)
        assert np.abs(y - want).max() <= 0.02 * np.abs(want).max()


# The GPU's half, on NumPy


@pytest.fixture
def cuda_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    place_module = module("harness.cuda_place")
    monkeypatch.setattr(place_module.CudaPlace, "torch_module", lambda place: None)
    with numpy_cupy.installed():
        yield place_module.CudaPlace(3)


def test_the_gpus_place_goes_through_a_whole_case(cuda_place: Any) -> None:
    settings = measure.Settings(rounds=5, sample_s=1e-4)
    honest = b.contender(lambda place, x, w, y: b.product(x, w, y))
    family = b.product_family(ours=honest, nan=b.contender(lambda place, x, w, y: y.fill(np.nan)))
    ours, nan = rows(family, cuda_place, settings)
    assert ours.status == "measured", ours.reason
    assert ours.place == "cuda:0" and ours.backend == "cuda" and ours.peak_bytes == 512
    assert nan.status == "rejected" and nan.reason.startswith("NaN")
    described = module("harness.machine").describe(cuda_place)
    assert described["gpu"] == "GPU of NumPy" and json.dumps(described)


def test_the_gpus_numbers_have_the_dtypes_asked_for(cuda_place: Any) -> None:
    x = cuda_place.normal((1000,), "bfloat16", 3.0)
    assert x.dtype.name == "bfloat16" and 2.5 < x.astype(float).std() < 3.5
    assert cuda_place.normal((2,), "float64").dtype == np.float64
    labels = cuda_place.integers((500,), 7)
    assert labels.dtype == np.int64 and set(labels.tolist()) == set(range(7))


def test_float8_on_a_gpu_is_rounded_by_torch(cuda_place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotImplementedError, match="float8_e5m2 on a GPU is rounded by torch, which is not installed"):
        cuda_place.normal((3, 4), "float8_e5m2")
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(cuda_place, "torch_module", lambda: torch)
    x = cuda_place.normal((30, 40), "float8_e5m2", 2.0)
    assert x.dtype.name == "float8_e5m2" and 1.8 < x.astype(float).std() < 2.2
    bits = module("harness.bits")
    y = bits.copy(x)  # of which CuPy makes no new array
    assert type(y) is type(x) and bits.equal(x, y) and y.ctypes.data != x.ctypes.data
    bits.poison(y.T)
    assert bits.poisoned(y) == y.size and bits.poisoned(x) == 0


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16", "int64", "float8_e4m3fn"])
def test_torch_sees_the_same_memory(name: str, cuda_place: Any) -> None:
    torch = pytest.importorskip("torch")
    for place in (places.HostPlace(), cuda_place):
        x = np.arange(6).astype(places.dtypes.DTYPES[name]).reshape(2, 3)
        t = place.torch(x)
        assert t.dtype == getattr(torch, name) and t.data_ptr() == x.ctypes.data and tuple(t.shape) == (2, 3)
        y = place.array(t.T)
        assert y.dtype == x.dtype and np.array_equal(y.astype(float), x.T.astype(float))
        assert y.ctypes.data == x.ctypes.data


@pytest.mark.parametrize(("reasons", "status"), [(0x4, "measured"), (0x40, "rejected")])
def test_a_gpu_whose_clocks_were_held_down_gives_no_times(
    reasons: int, status: str, cuda_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("harness.machine"), "clocks", lambda place: {"sm_mhz": 1980, "reasons": reasons})
    honest = b.contender(lambda place, x, w, y: b.product(x, w, y))
    (row,) = rows(b.product_family(ours=honest), cuda_place)
    assert row.status == status, row.reason
    assert row.conditions["after"]["sm_mhz"] == 1980
    assert status == "measured" or row.reason == "clocks held down: hardware thermal slowdown"


def test_ceilings_of_a_gpu_need_no_torch(cuda_place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    roofline_module = module("harness.roofline")
    monkeypatch.setattr(roofline_module, "SIDES", {"cuda": (64,)})
    found = roofline_module.Roofline(cuda_place)
    for dtype in ("float8_e4m3fn", "int8", "float32"):
        found.measure_products(dtype)
    assert found.flop_per_s["float32"] > 0 == found.flop_per_s["float8_e4m3fn"]


def test_peers_alone_are_timed_on_a_gpu_only_where_they_are_asked_for(cuda_place: Any) -> None:
    honest = b.contender(lambda place, x, w, y: b.product(x, w, y))
    family = b.product_family(peer=honest)
    entries = family.contenders
    family.contenders = lambda case, place: [
        b.family.Absent("pylayers", "no kernel yet", ours=True),
        *entries(case, place),
    ]
    ours, peer = rows(family, cuda_place)
    assert (ours.status, peer.status) == ("absent", "not measured") and "ours is absent" in peer.reason
    settings = measure.Settings(rounds=5, fewest_rounds=5, sample_s=1e-4, peers=("peer",))
    _, peer = rows(family, cuda_place, settings)
    assert peer.status == "measured", peer.reason
    assert [row.status for row in rows(family, places.HostPlace())] == ["absent", "measured"]
