"""Matrix products whose elements lie further than 31 and 32 bits of an offset reach, over pages nobody has touched."""

from __future__ import annotations

import mmap
from typing import Any

import emulated
import numpy as np
import pytest
from gemm_cases import integers, product
from subject import Subject

NORESERVE = 0x4000  # Linux's flag for memory that is there only once it is touched
FAR = [2**31 - 1, 2**31 + 1, 2**32 + 1]


def sparse(x: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """The values of x at these strides, in elements, in memory of which only their pages exist."""
    span = sum((n - 1) * stride for n, stride in zip(x.shape, strides)) + 1
    size = -(-span * x.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE)
    flat = np.frombuffer(memory, f"u{x.itemsize}", span)
    view = np.lib.stride_tricks.as_strided(flat, x.shape, [stride * x.itemsize for stride in strides], writeable=True)
    view[...] = x.view(view.dtype)
    return view.view(x.dtype)


def check(on: Subject, dtype: str, variant: str, precision: str = "float32") -> None:
    """Rows, columns and batches that far apart."""
    rng = np.random.default_rng(0)
    a, b = integers(rng, (2, 3, 40), dtype), integers(rng, (2, 40, 3), dtype)
    want = product(a, b)
    for far in FAR:
        ways: list[tuple[Any, Any]] = [
            (sparse(a, (0 if far > 2**32 else 40 * 3, far, 1)), b),
            (a, sparse(b, (40 * 3, 1, far))),
            (sparse(a, (far, 40, 1)), sparse(b, (far, 3, 1))),
        ]
        for left, right in ways:
            exact = product(left, right) if far > 2**32 else want
            got = on.backend.gemm(left, right, precision=precision, variant=variant)
            np.testing.assert_array_equal(got, exact.astype(got.dtype), err_msg=f"{variant} {far}")


def far(on: Subject) -> None:
    """On the plain cores."""
    check(on, "float32", "simt_32x32x32*1")


def far_gathered(on: Subject) -> None:
    """Loaded element by element on Hopper; what one thread loads lies that far apart too, along rows and along k."""
    check(on, "float32", "sm90_128x128x32_gather*1", "tf32")
    rng = np.random.default_rng(3)
    a, b = integers(rng, (1, 20, 40), "float32"), integers(rng, (1, 40, 3), "float32")
    left, right = sparse(a, (0, 2**25 + 1, 1)), sparse(b, (0, 2**26 + 1, 1))
    got = on.backend.gemm(left, right, precision="tf32", variant="sm90_128x128x32_gather*1")
    np.testing.assert_array_equal(got, product(a, b))


def far_rows(on: Subject) -> None:
    """What the epilogue reads."""
    rng = np.random.default_rng(1)
    a, b = integers(rng, (2, 3, 16), "bfloat16"), integers(rng, (2, 16, 4), "bfloat16")
    residual = integers(rng, (2, 3, 4), "bfloat16")
    for strides in [(12, 2**31 + 1, 1), (2**32 + 1, 4, 1), (12, 1, 2**31 - 1)]:
        got = on.backend.gemm(a, b, residual=sparse(residual, strides))
        np.testing.assert_array_equal(got, (product(a, b) + residual.astype(int)).astype(got.dtype))


@pytest.fixture
def on() -> Subject:
    """The emulator: no page of these matrices would fit on a GPU that is not there."""
    emulated.load()
    return Subject("emulated")


@pytest.mark.parametrize("detect", [far, far_gathered, far_rows], ids=lambda f: f.__name__)
def test_far_elements(on: Subject, detect: Any) -> None:
    detect(on)


@pytest.mark.parametrize(
    ("dtype", "variant", "tile"),
    [
        ("float32", "simt_128x128x8*1", 128),
        ("bfloat16", "sm90_64x64x64*1", 64),
        ("bfloat16", "sm90_128x128x64_gather*1", 128),
        ("float16", "sm80_64x64x64*1", 64),
    ],
)
def test_last_block_of_a_huge_result(on: Subject, dtype: str, variant: str, tile: int) -> None:
    """y has 2^31 + 2^15 elements; on a device with an SM for each tile each has its block, and the last one runs."""
    rng = np.random.default_rng(2)
    m, n, k = 2**16 + 1, 2**15, 16
    a, b = integers(rng, (1, m, k), dtype), integers(rng, (1, n, k), dtype).swapaxes(1, 2)
    if "gather" in variant:
        a = sparse(a, (0, k + 1, 1))
    blocks = -(-m // tile) * -(-n // tile)
    with emulated.device_spec(sms=blocks), emulated.only_blocks(blocks - 1, blocks):
        y = on.backend.gemm(a, b, variant=variant)
    assert y.size > 2**31
    want = product(a[:, -1:], b[:, :, -tile:])
    np.testing.assert_array_equal(y[:, -1:, -tile:], want.astype(dtype))
