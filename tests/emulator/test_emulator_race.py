"""The race detector on the emulator's own kernels: certain of every missing barrier and fence, silent otherwise."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import emulated
import numpy as np
import pytest
from selftest import HERE, SCHEDULES, asynchronous_expectations, bits, expectations, run


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return emulated.load("plain", name="_selftest")


@pytest.fixture(scope="module")
def race() -> ModuleType:
    return emulated.load("race", name="_selftest")


KERNELS = {
    "mirror": "selftest::Mirror",
    "warp_mirror": "selftest::WarpMirror",
    "sum_thrice": "selftest::SumThrice",
    "neighbouring_bytes": "selftest::NeighbouringBytes",
}


def sites_of(module: ModuleType, kernel: str, prefix: str, *instructions: str) -> list[emulated.Site]:
    """The sites the kernel meets."""
    x, blocks, _ = expectations()[kernel]
    module.clear_sites()
    run(module, kernel, x, blocks)
    return [site for site in emulated.sites(prefix, module) if site.instruction in instructions]


@pytest.mark.parametrize("order, seed", SCHEDULES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_missing_barrier_is_a_race_on_every_schedule(race: ModuleType, kernel: str, order: Any, seed: int) -> None:
    x, blocks, y = expectations()[kernel]
    found = sites_of(race, kernel, KERNELS[kernel], "sync_block", "sync_warp")
    assert len(found) == (2 if kernel == "sum_thrice" else 1)
    for site in found:
        assert re.fullmatch(HERE + r":\d+", site.where)
        message = rf"race on shared memory, byte \d+: this \w+ at {HERE}\n  is not ordered after the \w+ by thread \d+"
        raises = pytest.raises(race.EmulatorError, match=message)
        with emulated.dropped(site, race), emulated.schedule(order, seed, race), raises:
            run(race, kernel, x, blocks)
    np.testing.assert_array_equal(run(race, kernel, x, blocks), y)  # no site is dropped any more


@pytest.mark.parametrize("kernel", KERNELS)
def test_missing_barrier_shows_in_values_on_some_schedule(plain: ModuleType, kernel: str) -> None:
    x, blocks, y = expectations()[kernel]
    for site in sites_of(plain, kernel, KERNELS[kernel], "sync_block", "sync_warp"):
        wrong = 0
        for seed in range(32):
            with emulated.dropped(site, plain), emulated.schedule(emulated.ORDERS[seed % 4], seed, plain):
                wrong += not np.array_equal(run(plain, kernel, x, blocks), y)
        assert wrong > 0, site


def test_dropped_shuffle_keeps_its_own_value(race: ModuleType) -> None:
    x, blocks, _ = expectations()["broadcast"]
    (site,) = sites_of(race, "broadcast", "selftest::Broadcast", "shuffle")
    with emulated.dropped(site, race):
        np.testing.assert_array_equal(run(race, "broadcast", x, blocks), x)


@pytest.mark.parametrize("order, seed", SCHEDULES)
def test_missing_fence_is_a_race(race: ModuleType, order: Any, seed: int) -> None:
    x, blocks, _ = expectations()["last_block_sums"]
    fences = sites_of(race, "last_block_sums", "selftest::LastBlockSums", "fence_device")
    assert len(fences) == 2
    for site in fences:
        message = rf"race on global memory: this read at {HERE}\n.* of block \d+ at {HERE}"
        raises = pytest.raises(race.EmulatorError, match=message)
        with emulated.dropped(site, race), emulated.schedule(order, seed, race), raises:
            run(race, "last_block_sums", x, blocks)


def test_a_fence_by_one_lane_leaves_the_others_writes_unseen(race: ModuleType) -> None:
    """Every writer fences for the asynchronous proxy: in all selftest kernels whose warps write together."""
    noticed = {}
    for kernel, (x, blocks, y) in asynchronous_expectations().items():
        race.clear_sites()
        run(race, kernel, x, blocks)
        for site in emulated.sites("selftest", race):
            if site.instruction == "fence_proxy_async":
                with emulated.by_one_lane(site, race):
                    try:
                        run(race, kernel, x, blocks)
                        noticed[kernel] = False
                    except race.EmulatorError as error:
                        noticed[kernel] = "does not see the write by thread" in str(error)
        np.testing.assert_array_equal(bits(run(race, kernel, x, blocks)), bits(y))
    assert len(noticed) >= 4 and all(noticed.values()), noticed


def test_a_misaligned_access_is_named(race: ModuleType) -> None:
    with pytest.raises(race.EmulatorError, match=rf"misaligned address: this access at .*{HERE}.* got one off by 1"):
        run(race, "misaligned", np.zeros(8), 1)


@pytest.mark.parametrize("size, blocks, other", [(2, 2, r"thread 0 of block 0"), (1, 1, r"thread \d+ at")])
def test_element_written_twice_is_a_race(
    race: ModuleType, plain: ModuleType, size: int, blocks: int, other: str
) -> None:
    with pytest.raises(race.EmulatorError, match=rf"race on global memory: this write at {HERE}\n.* write by {other}"):
        run(race, "one_element", np.zeros(size), blocks)
    run(race, "one_element", np.zeros(size), 1 if size > 1 else 0)
    run(plain, "one_element", np.zeros(size), blocks)  # only the race build sees it
