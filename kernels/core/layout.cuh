// Where each element of a fragment, an accumulator or a swizzled tile lives, as the PTX manual draws it. Kernels index
// with these functions, the emulator executes them, and tests/test_ptx.py checks a GPU against them.
#pragma once
#include "kernels/core/ptx.cuh"

namespace pylayers::layout {

struct Position {
    int row, column;
};

// Register `r` of lane `lane` in fragment A (16, 32 bytes) of `mma`; the column counts bytes, four to a register.
HOST_DEVICE constexpr Position mma_a(int lane, int r) { return {lane / 4 + r % 2 * 8, lane % 4 * 4 + r / 2 * 16}; }

// The same in fragment B (32 bytes, 8): the row counts bytes.
HOST_DEVICE constexpr Position mma_b(int lane, int r) { return {lane % 4 * 4 + r * 16, lane / 4}; }

// Element `i` of lane `lane` in the accumulator (16, 8) of `mma`.
HOST_DEVICE constexpr Position mma_d(int lane, int i) { return {lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2}; }

// Element `i` of thread `thread` of the warpgroup in the accumulator (64, N) of `wgmma`: `mma_d` side by side.
HOST_DEVICE constexpr Position wgmma_d(int thread, int i) {
    Position const p = mma_d(thread % 32, i % 4);
    return {thread / 32 * 16 + p.row, i / 4 * 8 + p.column};
}

// Elements of 16 bits of matrix `r` of an `ldmatrix` that lane `lane` receives: this column and the next of this row.
HOST_DEVICE constexpr Position ldmatrix(int lane) { return {lane / 4, lane % 4 * 2}; }

// ------------------------------------------------------------------------------------------------ swizzle

// Bytes of a row of a swizzled tile. Rows follow each other; tiles begin at multiples of 8 rows.
enum class Swizzle { kNone = 16, k32 = 32, k64 = 64, k128 = 128 };

// The place of a byte of such a tile: its 16-byte chunks are exchanged within their row, by the row.
HOST_DEVICE constexpr int swizzled(Swizzle span, int byte) { return byte ^ (byte >> 3 & (int(span) - 16)); }
template <Swizzle kSpan> HOST_DEVICE constexpr int swizzled(int byte) { return swizzled(kSpan, byte); }

// ---------------------------------------------------------------------------------------------- descriptor

// How `wgmma` finds an operand in shared memory. K-major tiles have rows of kSpan bytes along k, one for each m or n:
// `stride_bytes` leads to the next 8 of them, `leading_bytes` means nothing. MN-major tiles of 16-bit types have rows
// of kSpan bytes along m or n, one for each k: `stride_bytes` leads to the next 8 k, `leading_bytes` to the next kSpan
// bytes of m or n. Without a swizzle blocks of 8 rows of 16 bytes lie in one piece: K-major, `leading_bytes` leads to
// the next 16 bytes of k; MN-major, `leading_bytes` leads to the next 8 k and `stride_bytes` to the next 16 bytes of m
// or n.
template <Swizzle kSpan>
HOST_DEVICE constexpr uint64_t matrix_descriptor(uint32_t shared_address, int leading_bytes, int stride_bytes) {
    uint64_t const kind = kSpan == Swizzle::k128 ? 1 : kSpan == Swizzle::k64 ? 2 : kSpan == Swizzle::k32 ? 3 : 0;
    return uint64_t(shared_address >> 4 & 0x3fff) | uint64_t(leading_bytes >> 4) << 16 |
           uint64_t(stride_bytes >> 4) << 32 | kind << 62;
}

// What a descriptor says.
struct Operand {
    uint32_t address;
    int leading_bytes, stride_bytes;
    Swizzle swizzle;
};
HOST_DEVICE constexpr Operand operand(uint64_t descriptor) {
    constexpr Swizzle kinds[] = {Swizzle::kNone, Swizzle::k128, Swizzle::k64, Swizzle::k32};
    return {uint32_t(descriptor & 0x3fff) << 4, int(descriptor >> 16 & 0x3fff) << 4,
            int(descriptor >> 32 & 0x3fff) << 4, kinds[descriptor >> 62]};
}

// Where byte `k` of m or n `row` of such an operand lies, as an address of shared memory.
HOST_DEVICE constexpr int operand_address(Operand const& d, ptx::Major major, int row, int k) {
    int const span = int(d.swizzle), mn = row * 2 + k % 2;  // MN-major: bytes along m or n
    int place = 0;
    if (major == ptx::Major::kK)
        place = row / 8 * d.stride_bytes + row % 8 * span + (span == 16 ? k / 16 * d.leading_bytes + k % 16 : k);
    else if (span == 16)
        place = mn / 16 * d.stride_bytes + mn % 16 + k / 16 * d.leading_bytes + k / 2 % 8 * 16;
    else
        place = mn / span * d.leading_bytes + mn % span + k / 16 * d.stride_bytes + k / 2 % 8 * span;
    return swizzled(d.swizzle, int(d.address) + place);
}

}  // namespace pylayers::layout
