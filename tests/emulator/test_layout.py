"""kernels/core/layout.cuh against the PTX manual's figures, written out by hand, and against CuTe's layouts."""

from __future__ import annotations

import itertools
from types import ModuleType

import instructions
import numpy as np
import pytest

# Each entry (row, column) is "lane:register" there. From the figures of mma.m16n8k16 (16-bit) and m16n8k32 (8-bit).
A_FIGURE = """
0:0 0:0 1:0 1:0 2:0 2:0 3:0 3:0 0:2 0:2 1:2 1:2 2:2 2:2 3:2 3:2
4:0 4:0 5:0 5:0 6:0 6:0 7:0 7:0 4:2 4:2 5:2 5:2 6:2 6:2 7:2 7:2
8:0 8:0 9:0 9:0 10:0 10:0 11:0 11:0 8:2 8:2 9:2 9:2 10:2 10:2 11:2 11:2
12:0 12:0 13:0 13:0 14:0 14:0 15:0 15:0 12:2 12:2 13:2 13:2 14:2 14:2 15:2 15:2
16:0 16:0 17:0 17:0 18:0 18:0 19:0 19:0 16:2 16:2 17:2 17:2 18:2 18:2 19:2 19:2
20:0 20:0 21:0 21:0 22:0 22:0 23:0 23:0 20:2 20:2 21:2 21:2 22:2 22:2 23:2 23:2
24:0 24:0 25:0 25:0 26:0 26:0 27:0 27:0 24:2 24:2 25:2 25:2 26:2 26:2 27:2 27:2
28:0 28:0 29:0 29:0 30:0 30:0 31:0 31:0 28:2 28:2 29:2 29:2 30:2 30:2 31:2 31:2
0:1 0:1 1:1 1:1 2:1 2:1 3:1 3:1 0:3 0:3 1:3 1:3 2:3 2:3 3:3 3:3
4:1 4:1 5:1 5:1 6:1 6:1 7:1 7:1 4:3 4:3 5:3 5:3 6:3 6:3 7:3 7:3
8:1 8:1 9:1 9:1 10:1 10:1 11:1 11:1 8:3 8:3 9:3 9:3 10:3 10:3 11:3 11:3
12:1 12:1 13:1 13:1 14:1 14:1 15:1 15:1 12:3 12:3 13:3 13:3 14:3 14:3 15:3 15:3
16:1 16:1 17:1 17:1 18:1 18:1 19:1 19:1 16:3 16:3 17:3 17:3 18:3 18:3 19:3 19:3
20:1 20:1 21:1 21:1 22:1 22:1 23:1 23:1 20:3 20:3 21:3 21:3 22:3 22:3 23:3 23:3
24:1 24:1 25:1 25:1 26:1 26:1 27:1 27:1 24:3 24:3 25:3 25:3 26:3 26:3 27:3 27:3
28:1 28:1 29:1 29:1 30:1 30:1 31:1 31:1 28:3 28:3 29:3 29:3 30:3 30:3 31:3 31:3
"""
# Rows are k in pairs of 16-bit elements: the pair (2 i, 2 i + 1) of column n.
B_FIGURE = """
0:0 4:0 8:0 12:0 16:0 20:0 24:0 28:0
1:0 5:0 9:0 13:0 17:0 21:0 25:0 29:0
2:0 6:0 10:0 14:0 18:0 22:0 26:0 30:0
3:0 7:0 11:0 15:0 19:0 23:0 27:0 31:0
0:1 4:1 8:1 12:1 16:1 20:1 24:1 28:1
1:1 5:1 9:1 13:1 17:1 21:1 25:1 29:1
2:1 6:1 10:1 14:1 18:1 22:1 26:1 30:1
3:1 7:1 11:1 15:1 19:1 23:1 27:1 31:1
"""
D_FIGURE = """
0:0 0:1 1:0 1:1 2:0 2:1 3:0 3:1
4:0 4:1 5:0 5:1 6:0 6:1 7:0 7:1
8:0 8:1 9:0 9:1 10:0 10:1 11:0 11:1
12:0 12:1 13:0 13:1 14:0 14:1 15:0 15:1
16:0 16:1 17:0 17:1 18:0 18:1 19:0 19:1
20:0 20:1 21:0 21:1 22:0 22:1 23:0 23:1
24:0 24:1 25:0 25:1 26:0 26:1 27:0 27:1
28:0 28:1 29:0 29:1 30:0 30:1 31:0 31:1
0:2 0:3 1:2 1:3 2:2 2:3 3:2 3:3
4:2 4:3 5:2 5:3 6:2 6:3 7:2 7:3
8:2 8:3 9:2 9:3 10:2 10:3 11:2 11:3
12:2 12:3 13:2 13:3 14:2 14:3 15:2 15:3
16:2 16:3 17:2 17:3 18:2 18:3 19:2 19:3
20:2 20:3 21:2 21:3 22:2 22:3 23:2 23:3
24:2 24:3 25:2 25:3 26:2 26:3 27:2 27:3
28:2 28:3 29:2 29:3 30:2 30:3 31:2 31:3
"""
# The 16-byte chunks of a tile, by their place: which chunk of the row lies there.
SWIZZLE_128 = ["01234567", "10325476", "23016745", "32107654", "45670123", "54761032", "67452301", "76543210"]
SWIZZLE_64 = ["0123", "0123", "1032", "1032", "2301", "2301", "3210", "3210"]
SWIZZLE_32 = ["01", "01", "01", "01", "10", "10", "10", "10"]


@pytest.fixture(scope="module")
def layout() -> ModuleType:
    return instructions.on_emulator()


def figure(text: str) -> list[list[tuple[int, int]]]:
    return [[tuple(map(int, entry.split(":"))) for entry in line.split()] for line in text.strip().splitlines()]  # type: ignore[misc]


def test_fragment_a(layout: ModuleType) -> None:
    for row, line in enumerate(figure(A_FIGURE)):
        for column, (lane, register) in enumerate(line):  # of 16 bits
            assert layout.mma_a(lane, register) == (row, column // 2 * 4)


def test_fragment_b(layout: ModuleType) -> None:
    for row, line in enumerate(figure(B_FIGURE)):  # of 4 bytes
        for column, (lane, register) in enumerate(line):
            assert layout.mma_b(lane, register) == (row * 4, column)


def test_accumulators(layout: ModuleType) -> None:
    for row, line in enumerate(figure(D_FIGURE)):
        for column, (lane, i) in enumerate(line):
            assert layout.mma_d(lane, i) == (row, column)
            for warp, group in itertools.product(range(4), range(32)):  # wgmma: warps below, groups beside each other
                got = layout.wgmma_d(warp * 32 + lane, group * 4 + i)
                assert got == (warp * 16 + row, group * 8 + column)


def test_ldmatrix(layout: ModuleType) -> None:
    for row, line in enumerate(figure(D_FIGURE)[:8]):
        for column, (lane, i) in enumerate(line):
            assert layout.ldmatrix(lane) == (row, column - i)


@pytest.mark.parametrize("span, rows", [(128, SWIZZLE_128), (64, SWIZZLE_64), (32, SWIZZLE_32)])
def test_swizzles(layout: ModuleType, span: int, rows: list[str]) -> None:
    for tile, row, place, byte in itertools.product((0, 3), range(8), range(span // 16), (0, 15)):
        begin = (tile * 8 + row) * span
        chunk = int(rows[row][place])
        assert layout.swizzled(span, begin + chunk * 16 + byte) == begin + place * 16 + byte
    assert all(layout.swizzled(16, byte) == byte for byte in range(4096))


def cute(coordinate: tuple[int, ...], shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """CuTe's layout of one mode: the colexicographic index `coordinate[0]` split over shape, times stride."""
    index, offset = coordinate[0], 0
    for extent, step in zip(shape, stride):
        offset += index % extent * step
        index //= extent
    return offset


@pytest.mark.parametrize("span", [16, 32, 64, 128])
@pytest.mark.parametrize("along_mn", [False, True])
def test_operands_lie_as_in_cute(layout: ModuleType, span: int, along_mn: bool) -> None:
    """The canonical layouts of GMMA descriptors, in units of 16 bytes: Swizzle<B, 4, 3> after ((W, n), (8, k))."""
    wide, leading, stride = span // 16, 11 * 1024, 3 * 1024
    lbo, sbo = leading // 16, stride // 16
    for begin in (0, 5 * 1024):
        descriptor = layout.matrix_descriptor(span, begin, leading, stride)
        for row, byte in itertools.product(range(256), range(32)):
            if along_mn:  # elements of 16 bits, eight to a unit along m or n
                mn, k, inside = row // 8, byte // 2, row % 8 * 2 + byte % 2
                if span == 16:
                    unit = cute((mn,), (1, 64), (0, sbo)) + cute((k,), (8, 2), (1, lbo))
                else:
                    unit = cute((mn,), (wide, 64), (1, lbo)) + cute((k,), (8, 2), (wide, sbo))
            else:
                inside = byte % 16
                unit = cute((row,), (8, 32), (wide, sbo)) + byte // 16 * (lbo if span == 16 else 1)
            address = begin + unit * 16 + inside
            bits = {16: 0, 32: 1, 64: 2, 128: 3}[span]
            address ^= (address >> 7 & ((1 << bits) - 1)) << 4
            assert layout.operand_address(descriptor, along_mn, row, byte) == address


def test_descriptor_fields(layout: ModuleType) -> None:
    for span, kind in ((16, 0), (128, 1), (64, 2), (32, 3)):
        got = layout.matrix_descriptor(span, 0x2F400, 0x1230, 0x4560)
        assert got == 0x2F40 | 0x123 << 16 | 0x456 << 32 | kind << 62
    assert layout.matrix_descriptor(16, 0xFFFC0030, 0, 0) == 3, "an address of 18 bits"


@pytest.mark.parametrize(
    "span, address, leading, stride, size, along_mn, rows, complaint",
    [
        (128, 0, 0, 1024, 2, False, 256, ""),
        (128, 96, 0, 1024, 2, False, 256, ""),
        (128, 112, 0, 1024, 2, False, 256, "begins 112 bytes into a tile"),
        (128, 128, 0, 1024, 2, False, 256, "begins 128 bytes into a tile"),
        (64, 512 + 32, 0, 512, 4, False, 64, ""),
        (64, 64, 0, 512, 4, False, 64, "begins 64 bytes into a tile"),
        (32, 16, 0, 256, 1, False, 64, "begins 16 bytes into a tile"),
        (128, 0, 0, 0, 1, False, 64, "a stride of 0 bytes"),
        (128, 0, 0, 0, 1, False, 8, ""),
        (128, 0, 0, 512, 1, False, 64, "a stride of 512 bytes"),
        (16, 16, 128, 256, 1, False, 64, ""),
        (128, 0, 4096, 1024, 2, True, 128, ""),
        (128, 0, 0, 1024, 2, True, 64, ""),
        (128, 0, 0, 1024, 2, True, 128, "a leading offset of 0 bytes"),
        (128, 32, 4096, 1024, 2, True, 128, "begins 32 bytes into a tile"),
        (128, 0, 4096, 1024, 4, True, 128, "only 16-bit types"),
        (128, 0, 4096, 1024, 1, True, 128, "only 16-bit types"),
    ],
)
def test_wrong_operands_are_named(
    layout: ModuleType,
    span: int,
    address: int,
    leading: int,
    stride: int,
    size: int,
    along_mn: bool,
    rows: int,
    complaint: str,
) -> None:
    descriptor = layout.matrix_descriptor(span, address, leading, stride)
    got = layout.operand_complaint(descriptor, size, along_mn, rows)
    assert complaint in got if complaint else got == ""


@pytest.mark.parametrize("bit", [14, 15, 30, 31, *range(46, 62)])
def test_bits_without_meaning_are_refused(layout: ModuleType, bit: int) -> None:
    descriptor = layout.matrix_descriptor(128, 0, 0, 1024)
    assert "mean nothing" in layout.operand_complaint(descriptor | 1 << bit, 2, False, 64)


def test_every_position_is_taken_once(layout: ModuleType) -> None:
    lanes = range(32)
    assert len({layout.mma_a(lane, r) for lane in lanes for r in range(4)}) == 128
    assert len({layout.mma_b(lane, r) for lane in lanes for r in range(2)}) == 64
    assert len({layout.wgmma_d(t, i) for t in range(128) for i in range(128)}) == 64 * 256
    for span in (16, 32, 64, 128):
        assert np.unique([layout.swizzled(span, byte) for byte in range(8192)]).size == 8192
