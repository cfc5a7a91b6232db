"""The emulator's checks, each tried on tiny kernels: silent on right ones, and what is wrong in wrong ones is named."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import emulated
import ml_dtypes
import numpy as np
import pytest
from selftest import HERE, SCHEDULES, bits, expectations, in_a_process, run


@pytest.fixture(scope="module", params=["plain", "race"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return emulated.load(request.param, name="_selftest")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return emulated.load("plain", name="_selftest")


@pytest.mark.parametrize("order, seed", SCHEDULES)
@pytest.mark.parametrize("kernel", expectations())
def test_right_kernels_pass(module: ModuleType, kernel: str, order: emulated.Order, seed: int) -> None:
    x, blocks, y = expectations()[kernel]
    with emulated.schedule(order, seed, module):
        np.testing.assert_array_equal(bits(run(module, kernel, x, blocks)), bits(y))


# --------------------------------------------------------------------------------------------------------- schedules


def arrivals(module: ModuleType, order: emulated.Order, seed: int = 0) -> list[int]:
    """When each of 128 threads ran."""
    with emulated.schedule(order, seed, module):
        return [int(t) for t in run(module, "arrivals", np.zeros(129))[:128]]


def test_forward_and_reverse(module: ModuleType) -> None:
    assert arrivals(module, "forward") == list(range(128))
    assert arrivals(module, "reverse") == list(range(127, -1, -1))


@pytest.mark.parametrize("order", ["random", "priority"])
def test_seeded_orders_repeat_and_differ(module: ModuleType, order: emulated.Order) -> None:
    orders = [arrivals(module, order, seed) for seed in range(5)]
    assert orders == [arrivals(module, order, seed) for seed in range(5)]
    assert all(sorted(o) == list(range(128)) for o in orders)
    assert len({tuple(o) for o in orders}) == 5


def test_schedule_is_restored(module: ModuleType) -> None:
    before = module.schedule()
    for seed, copies in enumerate(["late", "mixed", "early", "late"]):
        with emulated.schedule("priority", seed, module):
            assert module.schedule() == ("priority", seed, copies)
    with emulated.schedule("random", 1, module, copies="early"):
        assert module.schedule() == ("random", 1, "early")
    assert module.schedule() == before
    with pytest.raises(ValueError, match="schedule: argument 'order': expected 'forward', .* got 'sideways'"):
        module.configure("sideways", 0)
    with pytest.raises(ValueError, match="schedule: argument 'copies': expected 'early', .* got 'never'"):
        module.configure("random", 0, "never")
    assert module.schedule() == before


def test_schedule_from_the_environment() -> None:
    for text, schedule in [("random:7", ("random", 7, "mixed")), ("reverse:2:late", ("reverse", 2, "late"))]:
        done = in_a_process("print(m.schedule())", PYLAYERS_SCHEDULE=text)
        assert (done.stdout.strip(), done.returncode) == (str(schedule), 0)
    done = in_a_process("", PYLAYERS_SCHEDULE="sideways")
    assert "got 'sideways'" in done.stderr and done.returncode == 1


# ------------------------------------------------------------------------------------------------------ wrong kernels

ERRORS = {
    "divergent_barrier": rf"divergence: thread \d+ comes to sync_block at {HERE}:\d+ while \d+ already wait in",
    "divergent_shuffle": rf"divergence: thread \d+ comes to \w+ at {HERE}:\d+ while \d+ already wait in \w+ at",
    "early_exit": rf"leaves the kernel while \d+ of its block wait in sync_block at {HERE}|threads 7 have left",
    "deadlock": rf"(?s)deadlock: .*wait in sync_block at {HERE}:\d+: threads 0-39, 41-63.*in sync_warp at .*threads 40",
    "partial_warp": rf"sync_warp at {HERE}:\d+: the block has 48 threads, so its last warp has only 16 lanes",
    "wrong_lane": rf"shuffle at {HERE}:\d+: reads lane 32 of a warp of 32",
    "trap": rf"(?s)trap at {HERE}.*in kernel selftest::Trap, block 0, thread 3",
    "stack_overflow": r"(?s)the thread's stack overflows.*in kernel selftest::StackOverflow, block 0, thread \d+",
    "too_many_threads": r"launch of selftest::TooManyThreads: 2048 threads, a block has 1 to 1024",
    "too_much_shared": r"launch of .*: 232452 bytes of shared memory, a block has at most 232448",
}


@pytest.mark.parametrize("order", emulated.ORDERS)
@pytest.mark.parametrize("kernel", ERRORS)
def test_wrong_kernels_are_named(module: ModuleType, kernel: str, order: emulated.Order) -> None:
    with emulated.schedule(order, 3, module), pytest.raises(module.EmulatorError, match=ERRORS[kernel]):
        run(module, kernel, np.zeros(64))
    x, blocks, y = expectations()["mirror"]
    np.testing.assert_array_equal(run(module, "mirror", x, blocks), y)  # the emulator still stands


def test_grids(module: ModuleType) -> None:
    module.clear_launches()
    before = module.statistics()
    run(module, "mirror", np.zeros(512), 0)
    run(module, "mirror", np.zeros(512), 2)
    for blocks in (-1, 2**31):
        with pytest.raises(module.EmulatorError, match=f"launch of selftest::Mirror: {blocks} blocks, a grid"):
            run(module, "mirror", np.zeros(512), blocks)
    assert module.launches() == [("selftest::Mirror", blocks, 256, 1024, 1) for blocks in (0, 2)]
    after = module.statistics()
    assert [after[k] - before[k] for k in ("launches", "blocks", "barriers")] == [2, 2, 512]


def test_shared_memory_is_poisoned(module: ModuleType) -> None:
    for kernel in ("uninitialised", "most_shared"):
        assert (run(module, kernel, np.zeros(32)).view(np.uint32) == 0xFFFFFFFF).all()


def test_beyond_shared_memory(module: ModuleType) -> None:
    run(module, "shared_index", [32.0])
    with pytest.raises(module.EmulatorError, match=rf"write to .*, 0 bytes past the end of shared memory, at {HERE}"):
        run(module, "shared_index", [33.0])
    with pytest.raises(module.EmulatorError, match=r"(?s)bytes before shared memory were written.*block 0"):
        run(module, "shared_index", [-1.0])


@pytest.mark.parametrize("kernel, access", [("global_read_overrun", "read of"), ("global_write_overrun", "write to")])
def test_beyond_an_array(module: ModuleType, kernel: str, access: str) -> None:
    message = rf"(?s)guard fault: {access} address 0x[0-9a-f]+, at {HERE}.*in kernel .*, block 0, thread 17"
    x = emulated.guarded(np.zeros(5, np.float32))
    with pytest.raises(module.EmulatorError, match=message):
        module.run(kernel, x.ctypes.data, x.size, 1)
    module.run(kernel, x.ctypes.data, x.size - 1, 1)
    x = emulated.guarded(np.zeros(5, np.float32), before=True)
    with pytest.raises(module.EmulatorError, match=message):
        module.run(kernel, x.ctypes.data, -1, 1)
    module.run(kernel, x.ctypes.data, 0, 1)


def test_faults_outside_kernels_are_not_ours() -> None:
    code = "import faulthandler, ctypes; faulthandler.enable(); x = np.zeros(256, np.float32)\n"
    code += "m.run('mirror', x.ctypes.data, 256, 1); ctypes.string_at(8)"
    done = in_a_process(code)
    assert done.returncode == -11 and "Fatal Python error: Segmentation fault" in done.stderr


# ------------------------------------------------------------------------------------------------- values and controls


@pytest.mark.parametrize("kernel, dtype", [("round_to_bf16", ml_dtypes.bfloat16), ("round_to_fp16", np.float16)])
def test_conversions(plain: ModuleType, kernel: str, dtype: Any) -> None:
    every = np.arange(65536, dtype=np.uint16).view(dtype).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        between = np.nextafter(every, np.float32(np.inf)), np.nextafter(every, np.float32(-np.inf))
        middle = ((every[:-1].astype(np.float64) + every[1:]) / 2).astype(np.float32)
        random = np.random.default_rng(1).integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
        x = np.concatenate([every, *between, middle, random])
        rounded = x.astype(dtype).astype(np.float32)
    y = run(plain, kernel, x)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    np.testing.assert_array_equal(y[~np.isnan(x)].view(np.uint32), rounded[~np.isnan(x)].view(np.uint32))


def test_device_spec(module: ModuleType) -> None:
    h200 = module.device_spec()
    assert h200 == (90, 132, 232448)
    with emulated.device_spec(capability=80, sms=108, shared_bytes=166912, module=module):
        assert module.device_spec() == (80, 108, 166912)
    assert module.device_spec() == h200


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (4096,), (1025,)])
def test_guarded_arrays(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    after, before = emulated.guarded(x), emulated.guarded(x, before=True)
    shifted = emulated.guarded(x, offset_elements=3)
    for copy in (after, before, shifted):
        assert copy.shape == x.shape and copy.dtype == x.dtype and np.array_equal(copy, x)
        assert copy.flags.c_contiguous and copy.flags.writeable
    assert (after.ctypes.data + after.nbytes) % emulated.PAGE == 0
    assert before.ctypes.data % emulated.PAGE == 0
    assert (shifted.ctypes.data + shifted.nbytes + 3 * shifted.itemsize) % emulated.PAGE == 0


def test_guarded_outputs() -> None:
    from pylayers import arrays

    original = arrays.NumpyLibrary.empty
    with emulated.guarded_outputs(fill=0x7E):
        y = arrays.numpy_library.empty((2, 3), np.dtype(np.float32), "cpu")
        assert (y.view(np.uint8) == 0x7E).all() and (y.ctypes.data + y.nbytes) % emulated.PAGE == 0
    assert arrays.NumpyLibrary.empty is original
