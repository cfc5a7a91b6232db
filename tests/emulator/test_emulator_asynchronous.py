"""What goes on by itself on the emulator: right kernels pass on every schedule, wrong ones and bugs are named."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import emulated
import numpy as np
import pytest
from selftest import ANYWHERE, asynchronous_expectations, bits, run
from subject import SCHEDULES

EXPECTED = asynchronous_expectations()
EVERY_TIME: list[emulated.Copies] = ["early", "late", "mixed"]


@pytest.fixture(scope="module", params=["plain", "race"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return emulated.load(request.param, name="_selftest")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return emulated.load("plain", name="_selftest")


@pytest.fixture(scope="module")
def race() -> ModuleType:
    return emulated.load("race", name="_selftest")


def passes(module: ModuleType, kernel: str, expected: str) -> bool:
    """Whether the kernel yields what `expected` yields; not where the emulator finds it wrong."""
    x, blocks, y = EXPECTED[expected]
    try:
        return np.array_equal(bits(run(module, kernel, x, blocks)), bits(y))
    except module.EmulatorError:
        return False


@contextlib.contextmanager
def every_schedule(module: ModuleType) -> Iterator[Any]:
    before = module.schedule()
    try:
        yield ((order, seed) for order, seed in SCHEDULES if not module.configure(order, seed))
    finally:
        module.configure(*before)


@pytest.mark.parametrize("copies", EVERY_TIME)
@pytest.mark.parametrize("order, seed", SCHEDULES)
def test_right_kernels_pass(module: ModuleType, order: emulated.Order, seed: int, copies: emulated.Copies) -> None:
    for kernel, (x, blocks, y) in EXPECTED.items():
        with emulated.schedule(order, seed, module, copies):
            np.testing.assert_array_equal(bits(run(module, kernel, x, blocks)), bits(y), err_msg=kernel)


@pytest.mark.parametrize("resident", [2, 3])
@pytest.mark.parametrize("order", emulated.ORDERS)
def test_clusters_that_live_together(module: ModuleType, order: emulated.Order, resident: int) -> None:
    chain = np.concatenate([np.cumsum(np.arange(4)[::-1])[::-1], np.ones(4, np.uint32).view(np.float32)])
    with emulated.schedule(order, 1, module), emulated.resident(resident, module):
        for kernel in ("double_rows", "multicast", "exchange_by_mbarrier"):
            assert passes(module, kernel, kernel)
        x = np.zeros(8, np.float32)
        lonely = pytest.raises(module.EmulatorError, match=r"(?s)deadlock.*wait_flag.*emulated\.resident")
        with emulated.resident(1, module), lonely:
            run(module, "wait_for_next", x, 4)
        with emulated.resident(4, module):
            y = run(module, "block_chain", x, 4)
            np.testing.assert_array_equal(bits(y)[:4], bits(chain[:4].astype(np.float32)))


def test_only_some_blocks(module: ModuleType) -> None:
    x, blocks, y = EXPECTED["double_rows"]
    with emulated.only_blocks(1, 2, module):
        np.testing.assert_array_equal(run(module, "double_rows", x, blocks), np.r_[x[:256], y[256:512], x[512:]])
    x, blocks, y = EXPECTED["exchange"]
    with emulated.only_blocks(3, 4, module):  # its cluster comes along
        np.testing.assert_array_equal(run(module, "exchange", x, blocks), np.r_[x[:64], y[64:]])
    np.testing.assert_array_equal(run(module, "exchange", x, blocks), y)


def test_resident_is_checked(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="resident: argument 'clusters': expected 1 to 160, got 0"):
        module.set_resident(0)


def test_grid_is_whole_clusters(module: ModuleType) -> None:
    with pytest.raises(module.EmulatorError, match="3 blocks, a grid of clusters of 2 has a multiple of that"):
        run(module, "exchange", np.zeros(128), 3)


# ------------------------------------------------------------------------------------------------------- wrong kernels

# kernel -> message; found whenever copies land.
ALWAYS = {
    "mixed_counts": "barrier_sync at .*: barrier 3 is to wait for \\d+ threads here and for \\d+ in barrier_sync at",
    "half_a_warp": "barrier_sync at .*: 48 threads, a barrier waits for whole warps of the 96 threads",
    "barrier_16": "barrier_arrive at .*: barrier 16, a block has barriers 1 to 15",
    "missing_warp": "(?s)deadlock: .*left the kernel: threads 64-95.*barrier_sync.*: threads 0-63.*64 of 96 threads",
    "divergent_named_barrier": "divergence: thread \\d+ comes to barrier_sync at .* already wait in barrier_sync at",
    "wait_without_arrive": "cluster_wait at .*: the warp has not arrived",
    "arrive_twice": "cluster_arrive at .*: the warp has arrived already and not waited",
    "block_of_no_cluster": "cluster_map at .*: block 2 of a cluster of 2",
    "foreign_address": "shared_address at .*: not in the block's shared memory",
    "early_block": "guard fault: read of .* of block 1, which has left the kernel|may still touch its shared memory",
    "early_block_arrival": "mbarrier_arrive_cluster at .*: block 1 has left the kernel|may still touch",
    "uninitialised_mbarrier": "mbarrier_arrive at .*: no mbarrier has been initialised at byte 0",
    "overwritten_mbarrier": "mbarrier_wait at .*: the mbarrier at byte 0 of shared memory has been overwritten",
    "initialised_twice": "mbarrier_init at .*: the mbarrier at byte 0 of shared memory is initialised already",
    "no_arrivals": "mbarrier_init at .*: 0 arrivals, an mbarrier counts 1 to 1048575",
    "misaligned_mbarrier": "mbarrier_init at .*: an mbarrier lies at a multiple of 8 bytes",
    "foreign_mbarrier": "mbarrier_init at .*: the mbarrier does not lie in the block's shared memory",
    "too_many_arrivals": "mbarrier_arrive at .*: more arrivals than the 31 of the mbarrier at byte 0",
    "parity_2": "mbarrier_wait at .*: parity 2",
    "bytes_that_never_come": "a block leaves .* unfinished mbarrier at byte 0 .*: phase 0, .* and 64 bytes to come",
    "too_many_bytes": "mbarrier_expect_tx at .*: 1048576 bytes to come .*, it can count 1048575",
    "mbarrier_deadlock": "(?s)deadlock: .*wait in mbarrier_wait at .*: threads 0-39.*phase 0, 2 of 3 arrivals",
    "unfenced_remote_mbarrier": "mbarrier_arrive_cluster at .* was initialised without fence_mbarrier_init",
    "registers_for_ever": "(?s)deadlock: .*wait in setmaxnreg_inc at .*: threads 0-511",
    "more_by_dec": "setmaxnreg_dec at .*: 136 registers, the thread has 128",
    "fewer_by_inc": "setmaxnreg_inc at .*: 120 registers, the thread has 128",
    "registers_of_a_warp": "warps of a warpgroup differ: warp \\d executes setmaxnreg_dec at .* another executed set",
    "no_warpgroup": "setmaxnreg_dec at .*: the block's last warpgroup has not all its four warps",
    "misaligned_atomic": "atomic_add at .*: the address is misaligned",
    "cp_async_misaligned": "cp_async at .*: both sides of a copy of 16 bytes lie at multiples of it",
    "cp_async_elsewhere": "cp_async at .*: the destination does not lie in the block's shared memory",
    "cp_async_too_much": "cp_async at .*: 8 of 4 bytes",
    "cp_async_unwaited": "a thread leaves the kernel without having waited for cp_async at",
    "cp_async_uncommitted": "a thread leaves the kernel without having waited for cp_async at",
    "cp_async_anywhere": "cp_async at .*: the kernel's kTarget is kAny",
    "tma_misaligned": "tma_load at .*: in shared memory a copy lies at a multiple of 128 bytes, this one at byte 32",
    "tma_swizzle_misaligned": "tma_load at .*: shared address 1152 is no multiple of 1024",
    "tma_elsewhere": "tma_load at .*: the 1024 bytes of the copy do not lie in the block's shared memory",
    "tma_beyond_shared": "tma_load at .*: the 1024 bytes of the copy do not lie in the block's shared memory",
    "tma_of_other_rank": "tma_load at .*: the map has 2 dimensions, the copy 3",
    "tma_to_no_block": "tma_load_multicast at .*: no block is to receive the copy",
    "tma_to_absent_block": "tma_load_multicast at .*: block 1 of a cluster of 1",
    "tma_unfenced_mbarrier": "tma_load at .*: its mbarrier was initialised without fence_mbarrier_init",
    "tma_half_expected": "(?s)deadlock: .*0 of 1 arrivals and -512 bytes to come, bytes last expected by mbarrier_arr",
    "store_unfenced": "tma_store at .*: reads shared memory that was written without fence_proxy_async|does not see",
    "store_unwaited": "a thread leaves the kernel while its tma_store at .* may still read shared memory",
    "store_uncommitted": "a thread leaves the kernel while its tma_store at .* may still read shared memory",
    "store_of_minimum": "tma_store at .*: no reduction of this kind by TMA for float32",
    "bulk_misaligned": "bulk_load at .*: size and addresses are multiples of 16 bytes",
    "bulk_of_20": "bulk_store at .*: size and addresses are multiples of 16 bytes",
    "ldmatrix_misaligned": "ldmatrix at .*: a row lies at a multiple of 16 bytes",
    "ldmatrix_elsewhere": "ldmatrix at .*: the row does not lie in the block's shared memory",
    "no_registers_fence": "wgmma at .*: its registers were written without wgmma_fence after it",
    "written_after_fence": "wgmma at .*: its registers were written without wgmma_fence after it",
    "operands_written": "byte \\d+ of shared memory was written without fence_proxy_async|not ordered after the read",
    "operands_unfenced": "byte \\d+ of shared memory was written without fence_proxy_async|does not see the write by",
    "operands_elsewhere": "wgmma at .*: row 24 lies outside of shared memory, at byte 12288 of 12288",
    "lanes_differ": "wgmma at .*: operands of lane \\d+ differ from those of lane 0",
    "warps_differ": "warps of a warpgroup differ: warp \\d executes wgmma at .* with other operands",
    "warp_missing": "warps of a warpgroup differ: not all of them executed wgmma at",
    "half_a_warpgroup": "wgmma at .*: the block's last warpgroup has not all its four warps",
    "divergent_wgmma": "divergence: thread \\d+ comes to wgmma\\w* at .* while \\d+ already wait in wgmma\\w* at",
    "uncommitted": "a thread leaves the kernel without having waited for wgmma at",
    "unwaited": "a thread leaves the kernel without having waited for wgmma at",
}

# Found where copies land late; the race build finds those of its second message whenever they land.
LATE = {
    "cp_async_source_changed": (
        "the source of cp_async at .* was changed while the copy was",
        "read by a copy",
    ),
    "cp_async_target_written": ("shared memory was written while cp_async at .* on its way", "write by a copy"),
    "tma_unwaited": ("block 0 leaves the kernel while tma_load at .* is on its way into its shared memory", ""),
    "tma_source_changed": ("the source of tma_load at .* was changed while the copy was under way", "read by a copy"),
    "tma_target_written": ("shared memory of block 0 was written while tma_load at", "write by a copy"),
    "store_source_changed": ("the source of tma_store at .* was changed while the copy", "read by a copy"),
    "accumulators_written": ("accumulators of wgmma at .* were written while it was under way", ""),
    "a_registers_written": ("registers of A of wgmma at .* were written while it was under way", ""),
    "operands_published": ("were changed while it was under way|was written without fence", "read by a wgmma of warp"),
}


def test_every_wrong_kernel_is_tried(plain: ModuleType) -> None:
    tried = {*ALWAYS, *LATE, *EXPECTED, "accumulators_read", "store_read_too_early", "block_chain", "wait_for_next"}
    assert {k for k in plain.asynchronous_kernels() if not k.startswith(("pipeline_", "multicast_"))} == tried


@pytest.mark.parametrize("order", emulated.ORDERS)
@pytest.mark.parametrize("kernel", ALWAYS)
def test_wrong_kernels_are_named(module: ModuleType, kernel: str, order: emulated.Order) -> None:
    for copies in EVERY_TIME:
        with emulated.schedule(order, 1, module, copies):
            with pytest.raises(module.EmulatorError, match=ALWAYS[kernel]) as error:
                run(module, kernel, np.arange(768), 2)
            assert re.search(r"in kernel selftest::", str(error.value))


@pytest.mark.parametrize("order", emulated.ORDERS)
@pytest.mark.parametrize("kernel", LATE)
def test_what_is_touched_on_its_way(plain: ModuleType, race: ModuleType, kernel: str, order: emulated.Order) -> None:
    late, raced = LATE[kernel]
    with emulated.schedule(order, 1, plain, "late"), pytest.raises(plain.EmulatorError, match=late):
        run(plain, kernel, np.arange(768), 2)
    for copies in EVERY_TIME if raced else []:
        message = rf"race on \w+ memory.*: this .*{ANYWHERE[:-4]}.*\n  is not ordered after the {raced}"
        with emulated.schedule(order, 1, race, copies), pytest.raises(race.EmulatorError, match=message):
            run(race, kernel, np.arange(768), 2)


@pytest.mark.parametrize("kernel, index", [("accumulators_read", 0), ("store_read_too_early", 256)])
def test_what_is_read_on_its_way_is_poison(plain: ModuleType, kernel: str, index: int) -> None:
    with emulated.schedule("forward", 0, plain, "late"):
        assert np.isnan(run(plain, kernel, np.arange(768))[index])


# --------------------------------------------------------------------------------------------------------- planted bugs

BUGS = {
    "pipeline_parity": "pipeline",
    "pipeline_half_bytes": "pipeline",
    "pipeline_early_release": "pipeline",
    "pipeline_one_warp": "pipeline",
    "multicast_early_release": "multicast",
    "multicast_wrong_block": "multicast",
}


@pytest.mark.parametrize("kernel", BUGS)
def test_planted_bugs(plain: ModuleType, race: ModuleType, kernel: str) -> None:
    with every_schedule(race) as schedules:
        assert not any(passes(race, kernel, BUGS[kernel]) for _ in schedules)
    with every_schedule(plain) as schedules:
        assert not all(passes(plain, kernel, BUGS[kernel]) for _ in schedules)


def sites_of(module: ModuleType, kernel: str) -> list[emulated.Site]:
    module.clear_sites()
    assert passes(module, kernel, kernel)
    return emulated.sites("selftest::", module)


@pytest.mark.parametrize("kernel", ["pipeline", "multicast", "mbarrier_pipeline", "tile_sum", "give_and_take"])
def test_every_dropped_site_is_found(plain: ModuleType, race: ModuleType, kernel: str) -> None:
    sites = sites_of(race, kernel)
    assert len(sites) >= 3
    for site in sites:
        with emulated.dropped(site, race), every_schedule(race) as schedules:
            passed = [schedule for schedule in schedules if passes(race, kernel, kernel)]
        assert not passed, f"{site} is not missed on {passed}"
    missed = []
    for site in sites_of(plain, kernel):
        with emulated.dropped(site, plain), every_schedule(plain) as schedules:
            if all(passes(plain, kernel, kernel) for _ in schedules):
                missed.append(site)
    assert not missed, "the plain build misses none of these"
