// The producer's half of a product on Hopper: it fills the stages of a ring with tiles of operands whose rows are 128
// bytes wide, by TMA, or element by element where TMA cannot address an operand.
#pragma once
#include "kernels/core/operand_tile.cuh"
#include "kernels/core/ring.cuh"

namespace pylayers {
using namespace ptx;

// One thread: load(stage, full) sends `bytes` to the next stage, once it is empty.
template <int kStages, class Load>
DEVICE void send_stage(Ring<kStages>& ring, RingPosition<kStages>& at, int bytes, Load load) {
    Mbarrier* const full = &ring.full[at.stage];
    mbarrier_wait_cluster(&ring.empty[at.stage], at.parity_before());
    mbarrier_arrive_expect_tx(full, bytes);
    load(at.stage, full);
    at.advance();
}

// kSize rows of a matrix's tile, from `outer` of m or n and from k on; with kShares > 1 this block's share of them, to
// every block of the cluster. An MN-major tile is made of blocks of 64 m or n.
template <Major kMajor, int kSize, int kShares = 1>
DEVICE void send_tile(unsigned char* tile, TensorMap const* map, Mbarrier* full, int outer, int k, int z) {
    constexpr int kPart = kSize / kShares;
    int const first = kShares > 1 ? cluster_rank() * kPart : 0;
    auto const box = [&](int offset, int32_t const(&at)[3]) {
        if constexpr (kShares > 1)
            tma_load_multicast(tile + offset, map, full, at, uint16_t((1 << kShares) - 1));
        else
            tma_load(tile + offset, map, full, at);
    };
    if constexpr (kMajor == Major::kK) {
        box(first * kTileRowBytes, {k, outer + first, z});
    } else {
        UNROLL
        for (int i = 0; i < kPart; i += 64) box((first + i) * kTileRowBytes, {outer + first + i, k, z});
    }
}

// Gathered tiles come in parts along k: elements wait in registers, one in each, and 64 are what a thread has.
template <class Type> constexpr int kGatherParts = 4 / int(sizeof(Type));
template <class Type, int kSize>
using StageGatherer = TileLoader<TileLoad::kGather, kSize, kTileRowBytes / kGatherParts<Type>, kWarpgroup, Type>;

// A warpgroup: fills the next `steps` stages with what `a` and `b` gather.
template <class A, class B, int kStages, int kSizeA, int kSizeB>
DEVICE void gather_stages(Ring<kStages>& ring, RingPosition<kStages>& at, int steps, StageGatherer<A, kSizeA>& a,
                          StageGatherer<B, kSizeB>& b, SwizzledTile<kSizeA, kTileRowBytes> (&tiles_a)[kStages],
                          SwizzledTile<kSizeB, kTileRowBytes> (&tiles_b)[kStages]) {
    constexpr int kParts = kGatherParts<A>, kPartBytes = kTileRowBytes / kParts;
    static_assert(sizeof(A) == sizeof(B));
    if (steps > 0) a.read(), b.read();
    for (int left = steps * kParts, part = 0; left > 0; --left) {
        if (part == 0) mbarrier_wait(&ring.empty[at.stage], at.parity_before());
        a.write(tiles_a[at.stage], part * kPartBytes);
        b.write(tiles_b[at.stage], part * kPartBytes);
        if (++part == kParts) {
            fence_proxy_async();
            sync_warp();
            if (elect_one()) mbarrier_arrive(&ring.full[at.stage]);
            at.advance();
            part = 0;
        }
        if (left > 1) a.read(), b.read();
    }
}

}  // namespace pylayers
