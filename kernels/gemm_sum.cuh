// y[z] = epilogue(the sum over splits of partial[z, split]): the second pass of a matrix product whose k was split, in
// the order of the splits. A warp takes 16 rows by 32 columns.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/kernel.cuh"

namespace pylayers {
using namespace ptx;

template <class Sum> struct GemmSum : PlainKernel<128, 8> {
    static constexpr int kWarps = kThreads / kWarp;

    struct Params {
        Sum const* partial;  // (batches, splits, m, n), dense
        int64_t batches, splits;
        Epilogue epilogue;
    };

    struct Shared {
        EpilogueTile<Sum> tiles[kWarps];
    };

    HOST_DEVICE static int64_t patches(int64_t m, int64_t n) {
        return divide_up(m, kEpilogueRows) * divide_up(n, kEpilogueColumns);
    }

    DEVICE static void run(Params const& p, Shared& shared) {
        Epilogue const& e = p.epilogue;
        int64_t const patch = block_index() * kWarps + thread_index() / kWarp, of_matrix = patches(e.m, e.n);
        int64_t const z = patch / of_matrix, across = divide_up(e.n, kEpilogueColumns);
        int64_t const row0 = patch % of_matrix / across * kEpilogueRows;
        int64_t const column0 = patch % across * kEpilogueColumns;
        if (z >= p.batches) return;
        int const lane = thread_index() % kWarp;
        auto& tile = shared.tiles[thread_index() / kWarp];
        for (int i = 0; i < kEpilogueRows; ++i) {
            int64_t const row = row0 + i, column = column0 + lane;
            Sum sum = 0;
            if (row < e.m && column < e.n)
                for (int64_t split = 0; split < p.splits; ++split)
                    sum += p.partial[((z * p.splits + split) * e.m + row) * e.n + column];
            tile.rows[i][lane] = sum;
        }
        sync_warp();
        store_tile(e, tile, z, row0, column0);
    }
};

}  // namespace pylayers
