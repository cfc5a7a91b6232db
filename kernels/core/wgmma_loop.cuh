// The consumer's half of a product on Hopper: a warpgroup's sums of products of the tiles in a ring's stages, by wgmma.
#pragma once
#include "kernels/core/layout.cuh"
#include "kernels/core/operand_tile.cuh"
#include "kernels/core/ring.cuh"

namespace pylayers {
using namespace ptx;

// kGroups times 64 rows by kN columns; blocks of a cluster of kCluster send each other what they multiply.
template <class A, class B, int kGroups, int kN, Major kMajorA, Major kMajorB, int kCluster> struct WgmmaLoop {
    static constexpr int kSteps = kTileRowBytes / 32;       // wgmmas along k
    static constexpr int kBlockBytes = 64 * kTileRowBytes;  // an MN-major tile is made of these: 64 m or n by 64 k
    // fp8 products add up in about 14 bits: sums of one tile of k go to float32 before they lose more.
    static constexpr bool kPromoted = sizeof(A) == 1 && !std::is_same_v<A, int8_t>;
    using Sum = Accumulator<A>;
    using Sums = Sum[kGroups][kN / 2];

    // Sums over the next `steps` stages, a's rows from first_row on; calls `arrived` when the last stage has come.
    template <int kStages, int kSizeA, int kSizeB, class Arrived>
    DEVICE static void multiply(Ring<kStages>& ring, RingPosition<kStages>& at, int steps,
                                SwizzledTile<kSizeA, kTileRowBytes> (&a)[kStages],
                                SwizzledTile<kSizeB, kTileRowBytes> (&b)[kStages], int first_row, Sums& sums,
                                Arrived arrived) {
        auto const issue_stage = [&](Sums& to, bool accumulate) {
            mbarrier_wait(&ring.full[at.stage], at.parity);
            issue(shared_address(a[at.stage].bytes) + first_row * kTileRowBytes, shared_address(b[at.stage].bytes), to,
                  accumulate);
        };
        if (kPromoted || steps == 0) zero(sums);
        if constexpr (kPromoted) {
            for (int step = 0; step < steps; ++step) {
                Sums part;
                issue_stage(part, false);
                wgmma_wait<0>();
                ring.template release<kCluster>(at.stage);
                UNROLL
                for (int g = 0; g < kGroups; ++g) UNROLL
                for (int i = 0; i < kN / 2; ++i) sums[g][i] += part[g][i];
                at.advance();
            }
        } else if (steps > 0) {
            issue_stage(sums, false);
            for (int step = 1; step < steps; ++step) {
                int const previous = at.stage;
                at.advance();
                issue_stage(sums, true);
                wgmma_wait<1>();  // this group stays under way; the one before has read its stage
                ring.template release<kCluster>(previous);
            }
            arrived();
            wgmma_wait<0>();
            ring.template release<kCluster>(at.stage);
            at.advance();
        }
        if (kPromoted || steps == 0) arrived();
        UNROLL
        for (int g = 0; g < kGroups; ++g) keep_registers(sums[g]);
    }

    DEVICE static void zero(Sums& sums) {
        UNROLL
        for (int g = 0; g < kGroups; ++g) UNROLL
        for (int i = 0; i < kN / 2; ++i) sums[g][i] = Sum(0);
    }

    // The multiplications of one pair of tiles, at these addresses of shared memory, as one group.
    DEVICE static void issue(uint32_t a, uint32_t b, Sums& sums, bool accumulate) {
        UNROLL
        for (int g = 0; g < kGroups; ++g) keep_registers(sums[g]);
        wgmma_fence();
        UNROLL
        for (int i = 0; i < kSteps; ++i) UNROLL
        for (int g = 0; g < kGroups; ++g)
            wgmma<A, B, kN, kMajorA, kMajorB>(sums[g], descriptor<kMajorA>(a + g * kBlockBytes, i),
                                              descriptor<kMajorB>(b, i), accumulate || i > 0);
        wgmma_commit();
    }

    // Of the 32 bytes of k of step i: along the row, or 16 rows further.
    template <Major kMajor> DEVICE static uint64_t descriptor(uint32_t tile, int i) {
        using Span = layout::Swizzle;
        if constexpr (kMajor == Major::kK) return layout::matrix_descriptor<Span::k128>(tile + i * 32, 16, 1024);
        return layout::matrix_descriptor<Span::k128>(tile + i * 16 * kTileRowBytes, kBlockBytes, 1024);
    }
};

}  // namespace pylayers
