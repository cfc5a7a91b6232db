// From the accumulators of wgmma to y: through the whole epilogue a row at a time, or, where no more than a scale, a
// bias and relu come before, straight to boxes that TMA stores.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/layout.cuh"
#include "kernels/core/operand_tile.cuh"

namespace pylayers {
using namespace ptx;

// One warp's 16 rows by kN columns of sums; Output is what boxes of y hold.
template <class Sum, class Output, int kN> struct TileStore {
    using Sums = Sum[kN / 2];
    using Staging = unsigned char[2][16 * kTileRowBytes];  // in shared memory, of one warp
    static_assert(sizeof(EpilogueTile<Sum>) <= sizeof(Staging));

    DEVICE static void rows(Epilogue const& e, Staging& staging, Sums& sums, int z, int row, int column0) {
        auto& tile = *reinterpret_cast<EpilogueTile<Sum>*>(&staging);
        ROLLED  // the epilogue stands in the code once; which accumulators it takes is a choice among constants
            for (int column = 0; column < kN; column += kEpilogueColumns) {
            UNROLL
            for (int i = 0; i < kN; i += kEpilogueColumns)
                if (i == column) tile.put(&sums[i / 2]);
            sync_warp();
            store_tile(e, tile, z, row, column0 + column);
            sync_warp();  // before the next columns overwrite these
        }
    }

    // The caller waits for what is under way before it ends: tma_wait_read<0>().
    DEVICE static void boxes(Epilogue const& e, TensorMap const* y, Staging& staging, Sums& sums, int z, int row,
                             int column0) {
        constexpr int kColumns = kTileRowBytes / int(sizeof(Output));  // of one store
        // Buffers take turns, from one tile to the next too only where a tile has an even number of stores.
        constexpr int kUnderWay = kN / kColumns % 2 == 0 ? 1 : 0;
        int const lane = thread_index() % kWarp;
        if constexpr (std::is_same_v<Sum, float>) scale_and_shift(e, sums, column0);
        UNROLL
        for (int column = 0; column < kN; column += kColumns) {
            unsigned char* const buffer = staging[column / kColumns % 2];
            if (lane == 0) tma_wait_read<kUnderWay>();  // the last store from this buffer has read it
            sync_warp();
            stage<kColumns>(buffer, &sums[column / 2]);
            fence_proxy_async();
            sync_warp();
            if (lane == 0) {
                if (row < e.m && column0 + column < e.n) tma_store(y, buffer, {column0 + column, row, z});
                tma_commit();
            }
        }
    }

    // sums = relu(alpha scale_a scale_b sums + bias), each as far as the epilogue has it.
    DEVICE static void scale_and_shift(Epilogue const& e, Sums& sums, int column0) {
        float const scale = e.alpha * e.scale_a.at(0) * e.scale_b.at(0);
        auto const bias = static_cast<Output const*>(e.bias.data);
        UNROLL
        for (int i = 0; i < kN / 2; ++i) {
            int const column = column0 + layout::wgmma_d(thread_index() % kWarpgroup, i).column;
            float const shift = bias && column < e.n ? to_float(bias[column * e.bias.column]) : 0.0f;
            sums[i] = fmaf(sums[i], scale, shift);
        }
        if (e.activation == Activation::kRelu) UNROLL
        for (int i = 0; i < kN / 2; ++i) sums[i] = activate(sums[i], Activation::kRelu);
    }

    // 16 rows of kColumns sums as the swizzled box that a store of y takes.
    template <int kColumns> DEVICE static void stage(unsigned char* buffer, Sum const* sums) {
        using Span = layout::Swizzle;
        int const lane = thread_index() % kWarp;
        if constexpr (sizeof(Output) == 2) {
            UNROLL
            for (int column = 0; column < kColumns; column += 16) {
                Sum const* const d = sums + column / 2;
                uint32_t const packed[4] = {pack<Output>(d[0], d[1]), pack<Output>(d[2], d[3]),
                                            pack<Output>(d[4], d[5]), pack<Output>(d[6], d[7])};
                int const byte = lane % 16 * kTileRowBytes + (column + lane / 16 * 8) * 2;
                stmatrix(buffer + layout::swizzled<Span::k128>(byte), packed);
            }
        } else {
            struct alignas(8) Pair {
                Sum x[2];
            };
            UNROLL
            for (int i = 0; i < kColumns / 2; i += 2) {
                layout::Position const at = layout::wgmma_d(lane, i);
                int const byte = at.row * kTileRowBytes + at.column * 4;
                *reinterpret_cast<Pair*>(buffer + layout::swizzled<Span::k128>(byte)) = {sums[i], sums[i + 1]};
            }
        }
    }
};

}  // namespace pylayers
