"""ldmatrix, stmatrix, mma and wgmma against NumPy: every type, major, swizzle and size, exact on integers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import instructions
import ml_dtypes
import numpy as np
import pytest
from instructions import Machine, run, words

__all__ = ["run"]  # a fixture

TYPES: dict[str, Any] = {
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp16": np.dtype(np.float16),
    "tf32": np.dtype(np.float32),
    "e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "s8": np.dtype(np.int8),
}
SIZES = (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256)
LANE = np.arange(32)


def accumulator(name: str) -> Any:
    return np.dtype(np.int32 if name == "s8" else np.float32)


def integers(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Small integers, so that all sums are exact, and bits that a tf32 does not have."""
    x = rng.integers(-4, 5, shape).astype(TYPES[name])
    if name == "tf32":
        x = (x.view(np.uint32) | rng.integers(0, 1 << 13, shape, np.uint32)).view(np.float32)
    return x


def exact(x: np.ndarray, name: str) -> np.ndarray:
    """The numbers that the tensor cores see."""
    if name == "tf32":
        x = (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    return x.astype(np.float64)


# ------------------------------------------------------------------------------------------------------- fragments


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("transposed", [False, True])
def test_ldmatrix_and_stmatrix(run: Machine, transposed: bool, step: int) -> None:
    matrices = words(128).view(np.uint16).reshape(4, 8, 8)
    memory = np.zeros((32, 8), np.uint16)
    memory[LANE * step % 32] = matrices.reshape(32, 8)  # lane l gives the address of row l
    # Lane l holds columns 2 (l % 4) and the next of row l / 4 of each matrix.
    seen = matrices.transpose(0, 2, 1) if transposed else matrices
    fragments = np.stack([[seen[m, lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2] for m in range(4)] for lane in LANE])
    suffix = "_trans" if transposed else ""
    got = run(f"ldmatrix{suffix}", [memory], np.zeros((32, 4, 2), np.uint16), [step])
    np.testing.assert_array_equal(got, fragments)
    got = run(f"stmatrix{suffix}", [fragments], np.zeros((32, 8), np.uint16), [step])
    np.testing.assert_array_equal(got, memory)


def fragment_a(a: np.ndarray) -> np.ndarray:
    """(16, 32 bytes) -> (lane, register, 4 bytes), as the manual draws it: rows 0-7, 8-15, then the second half."""
    groups = [a[LANE // 4 + row].reshape(32, 8, 4)[LANE, LANE % 4 + column] for column in (0, 4) for row in (0, 8)]
    return np.stack(groups, 1)


def mma_operands(name: str, a: np.ndarray, b: np.ndarray, d: np.ndarray) -> list[np.ndarray]:
    """a (16, k), b (k, 8), d (16, 8) as the kernel takes them."""
    a_bytes = a.view(np.uint8).reshape(16, 32)
    b_bytes = np.ascontiguousarray(b.T).view(np.uint8).reshape(8, 8, 4)
    fragment_b = np.stack([b_bytes[LANE // 4, LANE % 4 + column] for column in (0, 4)], 1)
    fragment_d = d.reshape(2, 8, 4, 2).transpose(1, 2, 0, 3)
    return [fragment_a(a_bytes), fragment_b, fragment_d]


def run_mma(run: Machine, name: str, a: np.ndarray, b: np.ndarray, d: np.ndarray) -> np.ndarray:
    got = run(f"mma_{name}", mma_operands(name, a, b, d), np.zeros((8, 4, 2, 2), d.dtype))
    return got.transpose(2, 0, 1, 3).reshape(16, 8)


@pytest.mark.parametrize("name", ["bf16", "fp16", "tf32", "s8"])
def test_mma_is_exact_on_integers(run: Machine, name: str) -> None:
    rng = np.random.default_rng(0)
    k = 32 // TYPES[name].itemsize
    a, b = integers(rng, name, (16, k)), integers(rng, name, (k, 8))
    d = rng.integers(-100, 100, (16, 8)).astype(accumulator(name))
    np.testing.assert_array_equal(run_mma(run, name, a, b, d), exact(a, name) @ exact(b, name) + d)


def test_s8_takes_the_whole_range_and_wraps(run: Machine) -> None:
    a, b = np.full((16, 32), -128, np.int8), np.full((32, 8), -128, np.int8)
    d = np.full((16, 8), 2**31 - 1, np.int32)
    np.testing.assert_array_equal(run_mma(run, "s8", a, b, d), np.int32(2**19 - 1 - 2**31))


# ----------------------------------------------------------------------------------------------------------- wgmma


def place(x: np.ndarray, span: int, along_mn: bool, gap: int) -> tuple[np.ndarray, list[int]]:
    """x (rows, k) as an operand in shared memory: its bytes, and what the kernel must know to find them.

    That is: span, leading bytes, stride bytes, bytes of a step, steps in a tile, bytes of a tile.
    `gap`: so many unused tiles behind each tile of 8 rows of `span` bytes, and twice as many behind each row of tiles.
    """
    if along_mn:
        x = x.T
    lines = np.ascontiguousarray(x).view(np.uint8).reshape(x.shape[0], -1, 16)  # of 16 bytes, however they lie
    count, chunks = lines.shape[:2]
    wide = span // 16
    tiles, columns = count // 8, -(-chunks // wide)
    across = 8 * span * (1 + gap)  # from tile to tile along a line
    down = columns * across + 2 * gap * 8 * span
    memory = np.full(tiles * down, 0xFF, np.uint8)
    for line in range(count):
        for chunk in range(chunks):
            row, column = line % 8, chunk % wide
            column ^= row * wide // 8  # rows of one 128-byte line share a pattern
            at = line // 8 * down + chunk // wide * across + row * span + column * 16
            memory[at : at + 16] = lines[line, chunk]
    if span == 16:  # a step is two tiles
        leading, stride, walk = (down, across, [0, 1, 2 * down]) if along_mn else (across, down, [0, 1, 2 * across])
    else:
        leading, stride, walk = across, down, [0, 1, 2 * down] if along_mn else [32, span // 32, across]
    return memory, [span, leading, stride, *walk]


def run_wgmma(
    run: Machine,
    types: tuple[str, str],
    a: np.ndarray,
    b: np.ndarray,
    d: np.ndarray,
    majors: str = "",
    spans: tuple[int, int] = (128, 128),
    accumulate: bool = True,
    registers: bool = False,
    gap: int = 0,
) -> np.ndarray:
    """d (64, n) + a (64, k) b (k, n) by as many wgmma as k asks for."""
    n = d.shape[1]
    a_memory, a_words = place(a, spans[0], majors.startswith("_mn"), gap)
    b_memory, b_words = place(b.T, spans[1], majors.endswith("_mn"), gap)
    b_begin = -(-a_memory.size // 1024) * 1024
    memory = np.concatenate([a_memory, np.zeros(b_begin - a_memory.size, np.uint8), b_memory])
    steps = a.shape[1] * a.itemsize // 32
    fragment_d = d.reshape(4, 2, 8, n // 8, 4, 2).transpose(0, 2, 4, 3, 1, 5)  # warp, row, column, group, half, pair
    inputs = [memory, fragment_d]
    if registers:
        a_bytes = np.ascontiguousarray(a).view(np.uint8)
        inputs.append(np.stack([fragment_a(a_bytes[warp * 16 :][:16]) for warp in range(4)]))
    kernel = f"wgmma_{'registers_' if registers else ''}{types[0]}_{types[1]}_{n}{majors}"
    numbers = [memory.size, int(accumulate), steps, 0, *a_words, b_begin, *b_words]
    got = run(kernel, inputs, np.zeros(fragment_d.shape, d.dtype), numbers)
    return got.transpose(0, 4, 1, 3, 2, 5).reshape(64, n)


def check_wgmma(run: Machine, types: tuple[str, str], n: int, steps: int = 1, seed: int = 0, **how: Any) -> None:
    rng = np.random.default_rng(seed)
    k = steps * 32 // TYPES[types[0]].itemsize
    a, b = integers(rng, types[0], (64, k)), integers(rng, types[1], (k, n))
    d = rng.integers(-100, 100, (64, n)).astype(accumulator(types[0]))
    want = exact(a, types[0]) @ exact(b, types[1]) + (d if how.get("accumulate", True) else 0)
    np.testing.assert_array_equal(run_wgmma(run, types, a, b, d, **how), want)


PAIRS = [(t, t) for t in TYPES] + [("e4m3", "e5m2"), ("e5m2", "e4m3")]


@pytest.mark.parametrize("span", [16, 32, 64, 128])
@pytest.mark.parametrize("types", PAIRS, ids="_".join)
def test_wgmma_types_and_swizzles(run: Machine, types: tuple[str, str], span: int) -> None:
    for steps in (1, 2):
        for gap in (0, 1):
            check_wgmma(run, types, 64, max(steps, span // 32), spans=(span, span), gap=gap, seed=steps)
    check_wgmma(run, types, 64, spans=(span, 128), accumulate=False)
    check_wgmma(run, types, 64, spans=(128, span), registers=True)


@pytest.mark.parametrize("spans", [(16, 128), (32, 64), (64, 32), (128, 16), (128, 128)])
@pytest.mark.parametrize("majors", ["_mn_k", "_k_mn", "_mn_mn"])
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_wgmma_majors(run: Machine, name: str, majors: str, spans: tuple[int, int]) -> None:
    for gap in (0, 1):
        check_wgmma(run, (name, name), 64, 4, majors=majors, spans=spans, gap=gap)
    if majors == "_k_mn":
        check_wgmma(run, (name, name), 64, majors=majors, spans=spans, registers=True)


@pytest.mark.parametrize("n", SIZES)
def test_wgmma_sizes(run: Machine, n: int) -> None:
    for types in (("bf16", "bf16"), ("s8", "s8")):
        check_wgmma(run, types, n)
        check_wgmma(run, types, n, registers=True)


# -------------------------------------------------------------------------------------------------------- rounding


def truncated(a: np.ndarray, b: np.ndarray, d: float, fraction_bits: int, mantissa_bits: int) -> float:
    """d + a . b as Hopper adds: exactly, on terms cut after so many bits below the largest one's exponent."""

    def exponent(x: float) -> int:
        return int(np.frexp(x)[1]) - 1

    pairs = [(float(x), float(y)) for x, y in zip(a, b) if x != 0 and y != 0]
    largest = max([exponent(x) + exponent(y) for x, y in pairs] + ([exponent(d)] if d else []))
    unit = Fraction(2) ** (largest - fraction_bits)
    terms = [Fraction(x) * Fraction(y) for x, y in pairs] + [Fraction(d)]
    total = sum((int(term / unit) for term in terms), 0) * unit  # int() cuts towards zero
    if not total:
        return 0.0
    unit = Fraction(2) ** (exponent(float(total)) - mantissa_bits)
    return float(int(total / unit) * unit)


@pytest.mark.parametrize("types", [t for t in PAIRS if t[0] != "s8"], ids="_".join)
def test_wgmma_of_reals_keeps_its_bound(
    run: Machine, types: tuple[str, str], record_property: Any, request: pytest.FixtureRequest
) -> None:
    rng = np.random.default_rng(0)
    k = 32 // TYPES[types[0]].itemsize
    a = rng.standard_normal((64, k)).astype(TYPES[types[0]])
    b = rng.standard_normal((k, 64)).astype(TYPES[types[1]])
    d = rng.standard_normal((64, 64)).astype(np.float32)
    x, y = exact(a, types[0]), exact(b, types[1])
    want = x @ y + d
    narrow = TYPES[types[0]].itemsize == 1
    largest = np.maximum((np.abs(x)[:, :, None] * np.abs(y)[None]).max(1), np.abs(d))
    # Each of k + 1 terms is cut by less than a unit of the largest, whose product is not normalised, then the sum.
    cut = 2.0 ** (-13 if narrow else -25) * largest * (k + 1) + 2.0 ** (-13 if narrow else -23) * np.abs(want)
    plain = 2.0**-24 * (np.abs(x) @ np.abs(y) * k + np.abs(want))
    emulated: dict[str, np.ndarray] = {}
    module = instructions.on_emulator()
    for mode in ("plain", "truncating"):
        module.truncate(mode == "truncating")
        try:
            emulated[mode] = run_wgmma(Machine(gpu=False), types, a, b, d)
        finally:
            module.truncate(False)
    assert (np.abs(emulated["plain"] - want) <= plain).all()
    assert (np.abs(emulated["truncating"] - want) <= cut).all()
    for row, column in rng.integers(0, 64, (200, 2)):
        model = truncated(x[row], y[:, column], float(d[row, column]), 13 if narrow else 25, 13 if narrow else 23)
        assert emulated["truncating"][row, column] == np.float32(model)
    if run.gpu:
        got = run_wgmma(OnlyGpu(), types, a, b, d)
        assert (np.abs(got - want) <= cut + plain).all()
        equal = {mode: float((got == result).mean()) for mode, result in emulated.items()}
        record_property("rounding", {request.node.name: equal})
        print(f"{'_'.join(types)}: equal to the emulator's {equal}")


class OnlyGpu(Machine):
    """The GPU without the emulator, for what need not agree in the last bit."""

    def __init__(self) -> None:
        super().__init__(gpu=True)

    def __call__(self, kernel: str, inputs: Any, out: np.ndarray, numbers: Any = (), *_: Any, **__: Any) -> np.ndarray:
        data = np.frombuffer(b"".join(np.ascontiguousarray(x).tobytes() for x in inputs), np.uint8)
        result = np.array(out)
        instructions.on_gpu().run(kernel, data, instructions.bytes_of(result), list(numbers), None, False, 0, 1)
        return result
