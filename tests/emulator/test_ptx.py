"""Instructions of threads, warps and blocks against their definitions, and a GPU against the emulator where one is."""

from __future__ import annotations

import warnings

import instructions
import ml_dtypes
import numpy as np
import pytest
from instructions import Machine, run, words

__all__ = ["run"]  # a fixture

FLOATS = {
    "bf16": (ml_dtypes.bfloat16, np.uint16),
    "fp16": (np.float16, np.uint16),
    "e4m3": (ml_dtypes.float8_e4m3fn, np.uint8),
    "e5m2": (ml_dtypes.float8_e5m2, np.uint8),
}


# --------------------------------------------------------------------------------------------------------- numbers


def difficult_floats() -> np.ndarray:
    """Every bit pattern's upper half, with lower halves around the ties of all formats, and random ones."""
    upper = np.arange(65536, dtype=np.uint32) << 16
    lower = [0, 1, 0x7FFF, 0x8000, 0x8001, 0x0FFF, 0x1000, 0x1001, 0x1FFF, 0x2FFF, 0x3000, 0xEFFF, 0xF000, 0xFFFF]
    return np.concatenate([*(upper | low for low in lower), words(100_000)]).view(np.float32)


@pytest.mark.parametrize("name", FLOATS)
def test_to_float_of_every_value(run: Machine, name: str) -> None:
    dtype, unsigned = FLOATS[name]
    bits = np.arange(256 if unsigned is np.uint8 else 65536, dtype=unsigned)
    got = run(f"to_float_{name}", [bits], np.zeros(bits.size, np.float32), [bits.size])
    want = bits.view(dtype).astype(np.float32)
    nan = np.isnan(want)
    np.testing.assert_array_equal(got[~nan].view(np.uint32), want[~nan].view(np.uint32))
    assert np.isnan(got[nan]).all() and nan.any()


@pytest.mark.parametrize("name", FLOATS)
def test_from_float_rounds_to_nearest_even(run: Machine, name: str) -> None:
    dtype, unsigned = FLOATS[name]
    x = difficult_floats()
    got = run(f"from_float_{name}", [x], np.zeros(x.size, unsigned), [x.size]).view(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflow is meant
        want = x.astype(dtype)
    largest = float(ml_dtypes.finfo(dtype).max)
    if unsigned is np.uint8:  # the chip saturates
        beyond = (np.abs(x) > largest) & ~np.isnan(x)
        want[beyond] = np.copysign(largest, x[beyond]).astype(dtype)
    nan = np.isnan(x)
    np.testing.assert_array_equal(got[~nan].view(unsigned), want[~nan].view(unsigned))
    assert np.isnan(got[nan].astype(np.float32)).all() and nan.any()


def test_round_to_tf32_rounds_ties_away(run: Machine) -> None:
    x = difficult_floats()
    x = x[np.abs(x) < 2.0**127]
    got = run("round_to_tf32", [x], np.zeros(x.size, np.uint32), [x.size])
    exponent = np.maximum(np.frexp(x.astype(np.float64))[1] - 1, -126)  # of the leading bit
    unit = np.ldexp(1.0, exponent - 10)
    want = np.copysign(np.floor(np.abs(x.astype(np.float64)) / unit + 0.5) * unit, x).astype(np.float32)
    np.testing.assert_array_equal(got & 0xFFFFE000, want.view(np.uint32))
    assert (got & 0x1FFF == 0).all()


def test_integers_and_bits(run: Machine) -> None:
    x = np.concatenate([words(1000), np.array([0, 1, 2**31 - 1, 2**31, 2**24 + 1], np.uint32)]).view(np.int32)
    got = run("to_float_int32", [x], np.zeros(x.size, np.float32), [x.size])
    np.testing.assert_array_equal(got, x.astype(np.float32))
    got = run("float_bits", [x], np.zeros(x.size, np.int32), [x.size])
    np.testing.assert_array_equal(got, x)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_pack_puts_the_first_below(run: Machine, name: str) -> None:
    x = np.random.default_rng(0).standard_normal(2048).astype(np.float32)
    got = run(f"pack_{name}", [x], np.zeros(1024, np.uint32), [1024])
    np.testing.assert_array_equal(got.view(np.uint16), x.astype(FLOATS[name][0]).view(np.uint16))


# --------------------------------------------------------------------------------------------------------- threads


def test_indices(run: Machine) -> None:
    got = run("indices", [], np.zeros((3, 64, 3), np.int32), blocks=3)
    block, thread = np.mgrid[:3, :64]
    np.testing.assert_array_equal(got, np.stack([thread, block, np.full_like(block, 3)], -1))


@pytest.mark.parametrize("lanes", [1, 2, 16, 31])
def test_shuffles(run: Machine, lanes: int) -> None:
    t = np.arange(64)
    x = words(64)
    np.testing.assert_array_equal(run("shuffle_xor", [x], np.zeros_like(x), [lanes]), x[t ^ lanes])
    x64 = words(128).view(np.uint64)
    np.testing.assert_array_equal(run("shuffle_xor_64", [x64], np.zeros_like(x64), [lanes]), x64[t ^ lanes])
    np.testing.assert_array_equal(run("shuffle", [x], np.zeros_like(x), [lanes]), x[t // 32 * 32 + lanes])


def test_ballot(run: Machine) -> None:
    x = words(64) % 3
    bits = [sum(1 << i for i in range(32) if x[warp * 32 + i]) for warp in range(2)]
    np.testing.assert_array_equal(run("ballot", [x], np.zeros(64, np.uint32)), np.repeat(bits, 32))


def test_elect_one_elects_one(run: Machine) -> None:
    if not run.gpu:  # which lane is open: schedules may differ
        elected = set()
        for order in instructions.SCHEDULES:
            out = np.zeros(64, np.uint32)
            with instructions.emulated.schedule(*order, module=instructions.on_emulator()):
                instructions.on_emulator().run("elect_one", np.zeros(16, np.uint8), out, [], None, False, 0, 1)
            assert (out.reshape(2, 32).sum(1) == 1).all()
            elected.add(int(out.argmax()))
        assert len(elected) > 1, "the same lane under every schedule"
        return
    out = np.zeros(64, np.uint32)
    instructions.on_gpu().run("elect_one", np.zeros(16, np.uint8), out, [], None, False, 0, 1)
    assert (out.reshape(2, 32).sum(1) == 1).all()


@pytest.mark.parametrize("kernel, order", [("sync_block", lambda t: 255 - t), ("sync_warp", lambda t: t ^ 31)])
def test_barriers(run: Machine, kernel: str, order: object) -> None:
    x = words(256)
    np.testing.assert_array_equal(run(kernel, [x], np.zeros_like(x)), x[order(np.arange(256))])  # type: ignore[operator]


def test_named_barrier(run: Machine) -> None:
    x = words(64)
    np.testing.assert_array_equal(run("named_barrier", [x], np.zeros_like(x)), x[::-1])


def test_setmaxnreg_and_griddepcontrol(run: Machine) -> None:
    for kernel, threads in (("setmaxnreg", 384), ("griddepcontrol", 32)):
        x = words(threads)
        np.testing.assert_array_equal(run(kernel, [x], np.zeros_like(x)), x + 1)


# --------------------------------------------------------------------------------------------------------- atomics


@pytest.mark.parametrize(
    "kernel, dtype",
    [("float", np.float32), ("float_shared", np.float32), ("int32", np.int32), ("uint32_shared", np.uint32)],
)
def test_atomic_add_counts_everything_once(kernel: str, dtype: type, run: Machine) -> None:
    x = (1 << (np.arange(128) % 16)).astype(dtype)
    total, before = ordered(run, f"atomic_add_{kernel}", x, 5)
    assert total == 5 + x.sum()
    assert sorted(np.diff(np.append(np.sort(before), total))) == sorted(x), "each saw what the ones before it left"


@pytest.mark.parametrize("kernel, dtype", [("int32", np.int32), ("uint32_shared", np.uint32)])
def test_atomic_max(kernel: str, dtype: type, run: Machine) -> None:
    x = words(128).view(dtype)
    total, before = ordered(run, f"atomic_max_{kernel}", x, 5)
    assert total == max(5, x.max())
    assert set(before.tolist()) <= {5, *x.tolist()} and 5 in before


def test_atomic_increment_wraps_at_its_limit(run: Machine) -> None:
    total, before = ordered(run, "atomic_increment", np.full(128, 9, np.uint32), 0)
    assert total == 128 % 10
    np.testing.assert_array_equal(np.sort(before), np.sort(np.arange(128) % 10))


def ordered(run: Machine, kernel: str, x: np.ndarray, start: int) -> tuple[np.generic, np.ndarray]:
    """The result of an atomic, and what each thread saw, which depends on their order: one machine, one schedule."""
    out = np.zeros(129, x.dtype)
    module = instructions.on_gpu() if run.gpu else instructions.on_emulator()
    module.run(kernel, x, out, [start], None, False, 0, 1)
    return out[0], out[1:]


def test_flag(run: Machine) -> None:
    x = words(32)
    got = run("flag", [x], np.zeros(65, np.uint32))
    np.testing.assert_array_equal(got, [*x, *x[::-1], 7])
