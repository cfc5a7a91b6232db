"""Bits of arrays, the sets of arguments that calls take in turn, and samples."""

from __future__ import annotations

import time
from typing import Any

import bench_family as b
import numpy as np
import pytest
from bench_family import rows
from bench_package import module
from simulated_device import simulated_place

bits, sets, timing = (module(f"harness.{name}") for name in ("bits", "sets", "timing"))


# Bits


@pytest.mark.parametrize("name", sorted(d.name for d in bits.LARGEST))
def test_poison_is_nan_and_told_from_the_nan_of_arithmetic(name: str) -> None:
    x = np.zeros((3, 4), module("harness.places").dtypes.DTYPES[name])
    assert bits.nans(x) == bits.poisoned(x) == 0 and bits.constant(x)
    x[1, 2] = np.nan
    assert bits.nans(x) == 1 and bits.poisoned(x) == 0
    if name != "float8_e4m3fn":  # has no infinity
        x[0] = [np.inf, -np.inf, 1, -0.0]
        assert bits.nans(x) == 1
    bits.poison(x.T[1:])
    assert bits.poisoned(x) == 9 and bits.nans(x) == 9 and np.isnan(x[:, 1:].astype(float)).all()


def test_overlap_and_equality() -> None:
    x = np.arange(24.0).reshape(4, 6)
    assert bits.overlap(x[1:3], x[2:]) and not bits.overlap(x[:2], x[2:]) and not bits.overlap(x[:0], x)
    assert bits.memory(x[:, ::-1]) == bits.memory(x)
    assert bits.equal(x, bits.copy(x.T).T) and not bits.equal(x, x.astype(np.float32))
    assert not bits.equal(np.float32([0.0]), np.float32([-0.0]))


# Sets


@pytest.mark.parametrize(
    ("set_bytes", "cache", "free", "count"),
    [(10, 100, 1 << 30, 21), (100, 100, 1 << 30, 3), (1 << 20, 100, 1 << 30, 3), (1, 1000, 1 << 30, 3),
     (100, 100, 1200, 2), (100, 100, 100, 1)],
)  # fmt: skip
def test_there_are_three_sets_and_more_than_the_cache_holds_twice(
    set_bytes: int, cache: int, free: int, count: int
) -> None:
    assert sets.how_many(set_bytes, cache, free) == count


def made(changed: tuple[str, ...] = ()) -> Any:
    family = b.product_family()
    family.changed = changed
    return sets.Sets(family, b.CASE, simulated_place())


def test_sets_differ_and_come_back() -> None:
    s = made()
    values = [x["a"].copy() for x in s.arrays]
    assert len({x.tobytes() for x in values}) == len(s) == 3
    assert s.spoiled(range(3)) == "" and np.array_equal(s.before(1)["a"], values[1])
    s.arrays[2]["b"][0, 0] += 1
    assert s.spoiled(range(3)) == "b" and s.spoiled([0, 1]) == ""
    s.restore()
    assert s.spoiled(range(3)) == ""
    address = s.arrays[0]["a"].ctypes.data
    s.refill(0)
    assert s.arrays[0]["a"].ctypes.data == address
    assert not np.array_equal(s.arrays[0]["a"], values[0]) and s.spoiled([0]) == ""


def test_a_look_at_some_elements_sees_what_changed_many() -> None:
    s = made()
    s.arrays[1]["a"].reshape(-1)[::3] += 1
    assert s.spoiled([1], most=200) == "a" and s.spoiled([0, 2], most=200) == ""
    s.restore()
    s.arrays[1]["a"][0, 0] += 1  # and in time what changed one
    assert any(s.spoiled([1], most=4000) for _ in range(200))


def test_what_a_call_changes_by_its_nature_is_put_back() -> None:
    s = made(("a",))
    before = s.arrays[0]["a"].copy()
    s.arrays[0]["a"][...] = 0
    s.arrays[0]["b"][0] = 0
    assert s.spoiled([0]) == "b"
    s.restore_changed()
    assert np.array_equal(s.arrays[0]["a"], before) and s.spoiled([0]) == "b"


def test_an_update_in_place_is_checked_and_no_set_is_taken_twice() -> None:
    """a += 1: a second update, or one of values that were not put back, would differ from a + 1."""
    seen: list[int] = []

    def prepare(x: dict[str, np.ndarray]) -> Any:
        def call() -> Any:
            seen.append(x["a"].ctypes.data)
            place.device.launch(lambda: np.add(x["a"], 1, out=x["a"]), 1e-6)
            return (x["a"],)

        return call

    place = simulated_place()
    family = b.product_family(ours=lambda place: prepare)
    family.changed = ("a",)
    family.deviation = lambda case, place, inputs, got: b.family.Deviation(
        0.0, float(not np.array_equal(got[0], inputs["a"] + 1)) * 2
    )
    (row,) = rows(family, place)
    assert row.status == "measured", row.reason
    assert row.calls_per_sample == row.sets == 3 and set(seen[-3:]) == set(seen)


# Samples


def test_a_sample_of_the_host_takes_each_turn_and_keeps_the_last_results() -> None:
    device = timing.HostDevice(1 << 10)
    calls = [lambda n=n: (time.sleep(0.002), n) for n in range(3)]
    taken, kept = timing.sample(device, calls, [0, 2, 0, 2])
    assert {turn: result[1] for turn, result in kept.items()} == {0: 0, 2: 2}
    assert 0.002 <= taken.device_s <= taken.wall_s and taken.host_s <= taken.wall_s


@pytest.mark.parametrize(
    ("call", "wanted", "count"), [(1e-3, 2e-3, 2), (1.0, 1e-3, 1), (1e-9, 1.0, 1000), (0.0, 0.1, 1000)]
)
def test_calls_of_a_sample(call: float, wanted: float, count: int) -> None:
    assert timing.calls_per_sample(call, wanted) == count
