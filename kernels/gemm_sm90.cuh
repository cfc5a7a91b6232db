// y[z] = epilogue(a[z] b[z]) on Hopper: a producer warpgroup fills a ring of 128-byte wide tiles (TMA, or loads of
// single elements where TMA cannot address an operand), consumer warpgroups multiply them by wgmma; blocks walk over
// the tiles.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/operand_tile.cuh"
#include "kernels/core/raster.cuh"
#include "kernels/core/ring.cuh"
#include "kernels/core/tile_producer.cuh"
#include "kernels/core/tile_store.cuh"
#include "kernels/core/wgmma_loop.cuh"

namespace pylayers {
using namespace ptx;

enum class Schedule {
    kCooperative,  // the consumers share a tile, 64 rows or more each
    kPingPong,     // each has its own: one's epilogue runs under the other's multiplications
};
enum class Source { kTma, kGather };

struct TileSm90 {
    int m, n, stages;
    int consumers;  // warpgroups
    int cluster;    // blocks along m that share the tiles of b
    Schedule schedule;
    Source source;
    Major a, b;  // how the operands lie in memory; gathered ones are put K-major
};

template <TileSm90 T, class A, class B> struct GemmSm90 {
    static constexpr int kTileK = kTileRowBytes / int(sizeof(A));
    static constexpr int kConsumersOfTile = T.schedule == Schedule::kPingPong ? 1 : T.consumers;
    static constexpr int kGroups = T.m / 64 / kConsumersOfTile;  // of 64 rows, of one consumer
    static constexpr int kWarps = T.consumers * 4;
    using Loop = WgmmaLoop<A, B, kGroups, T.n, T.a, T.b, T.cluster>;
    using Sum = typename Loop::Sum;
    // What tiles of y may be stored as by TMA.
    using Output = std::conditional_t<sizeof(A) == 2, A, std::conditional_t<Loop::kPromoted, bf16, Sum>>;
    using Store = TileStore<Sum, Output, T.n>;

    static constexpr int kThreads = (1 + T.consumers) * kWarpgroup;
    static constexpr int kBlocksPerSm = 1;
    static constexpr int kCluster = T.cluster;
    static constexpr Target kTarget = Target::kSm90a;
    static_assert(T.schedule == Schedule::kCooperative || T.consumers == 2);
    static_assert(T.m % (64 * kConsumersOfTile) == 0 && T.n % (64 * T.cluster) == 0);
    static_assert(T.source == Source::kTma || (T.cluster == 1 && T.a == Major::kK && T.b == Major::kK));

    struct Params {
        TensorMap a_map, b_map, y_map;
        OperandMatrix a, b;  // for Source::kGather
        Epilogue epilogue;
        Raster raster;
        int64_t k;
        int steps, steps_per_split, splits;  // of k, in tiles
        bool a_batched, b_batched;           // one matrix for all z otherwise
        bool direct;                         // y is stored by TMA: no more than scale, bias and relu come before
    };

    struct alignas(1024) Shared {
        SwizzledTile<T.m, kTileRowBytes> a[T.stages];
        SwizzledTile<T.n, kTileRowBytes> b[T.stages];
        typename Store::Staging staging[kWarps];
        Ring<T.stages> ring;
    };

    using Position = RingPosition<T.stages>;

    // One tile of y, or of one split's part of it.
    struct Work {
        int batch;  // of y: each split has its own
        int z, row, column, first_step, steps;

        DEVICE Work(Params const& p, int number) {
            RasterTile const tile = p.raster.tile(number);
            batch = tile.z;
            z = tile.z / p.splits;
            row = tile.m * T.m * T.cluster + (T.cluster > 1 ? cluster_rank() * T.m : 0);
            column = tile.n * T.n;
            first_step = tile.z % p.splits * p.steps_per_split;
            int const left = p.steps - first_step;
            steps = left < p.steps_per_split ? (left > 0 ? left : 0) : p.steps_per_split;
        }

        DEVICE int k(int step) const { return (first_step + step) * kTileK; }
    };

    DEVICE static int first_work() { return int(block_index()) / T.cluster; }
    DEVICE static int next_work() { return int(block_count()) / T.cluster; }

    DEVICE static void run(Params const& p, Shared& s) {
        int const warpgroup = thread_index() / kWarpgroup;
        if (thread_index() == 0) {
            // One arrival for each consumer warp, of every block that reads what this one sends.
            s.ring.init(T.source == Source::kTma ? 1 : 4, kConsumersOfTile * 4 * T.cluster);
            if constexpr (T.source == Source::kTma) fence_mbarrier_init();
        }
        sync_blocks();
        if (warpgroup == 0) {
            if constexpr (T.consumers > 1) setmaxnreg_dec<T.source == Source::kTma ? 40 : 120>();
            if constexpr (T.source == Source::kGather)
                gather_tiles(p, s);
            else if (thread_index() / kWarp == 0 && elect_one())
                load_tiles(p, s);
        } else {
            if constexpr (T.consumers > 1) setmaxnreg_inc<T.source == Source::kTma ? 232 : 192>();
            consume(p, s, warpgroup - 1);
        }
        if constexpr (T.cluster > 1) sync_blocks();  // a peer may still signal this block's barriers
    }

    DEVICE static void sync_blocks() {
        if constexpr (T.cluster > 1) {
            cluster_arrive();
            cluster_wait();
        } else {
            sync_block();
        }
    }

    DEVICE static void load_tiles(Params const& p, Shared& s) {
        if (p.steps > 0) {
            tma_prefetch(&p.a_map);
            tma_prefetch(&p.b_map);
        }
        Position at;
        for (int i = first_work(); i < p.raster.tiles; i += next_work()) {
            Work const work(p, i);
            for (int step = 0; step < work.steps; ++step) {
                int const k = work.k(step);
                send_stage(s.ring, at, (T.m + T.n) * kTileRowBytes, [&](int stage, Mbarrier* full) {
                    send_tile<T.a, T.m>(s.a[stage].bytes, &p.a_map, full, work.row, k, p.a_batched ? work.z : 0);
                    send_tile<T.b, T.n, T.cluster>(s.b[stage].bytes, &p.b_map, full, work.column, k,
                                                   p.b_batched ? work.z : 0);
                });
            }
        }
    }

    DEVICE static void gather_tiles(Params const& p, Shared& s) {
        Position at;
        for (int i = first_work(); i < p.raster.tiles; i += next_work()) {
            Work const work(p, i);
            int64_t const k = work.k(0), k_left = p.k - k;
            StageGatherer<A, T.m> a(p.a, work.z, work.row, k, p.epilogue.m - work.row, k_left);
            StageGatherer<B, T.n> b(p.b, work.z, work.column, k, p.epilogue.n - work.column, k_left);
            gather_stages<A, B>(s.ring, at, work.steps, a, b, s.a, s.b);
        }
    }

    DEVICE static void consume(Params const& p, Shared& s, int consumer) {
        int const warp = thread_index() / kWarp - 4;
        int const first_row = T.schedule == Schedule::kCooperative ? consumer * kGroups * 64 : 0;
        Position at;
        int turn = 0;
        for (int i = first_work(); i < p.raster.tiles; i += next_work()) {
            Work const work(p, i);
            if (T.schedule == Schedule::kPingPong && turn++ % 2 != consumer) {
                at.advance(work.steps);
                continue;
            }
            typename Loop::Sums sums;
            // Parity has one bit: a consumer waiting two turns ahead would mistake this turn's completion for its own.
            if (T.schedule == Schedule::kPingPong && i != first_work()) barrier_sync(1 + consumer, 2 * kWarpgroup);
            Loop::multiply(s.ring, at, work.steps, s.a, s.b, first_row, sums, [&] {
                if (T.schedule == Schedule::kPingPong && i + next_work() < p.raster.tiles)
                    barrier_arrive(2 - consumer, 2 * kWarpgroup);
            });
            UNROLL
            for (int g = 0; g < kGroups; ++g) {
                int const row = work.row + first_row + g * 64 + warp % 4 * 16;
                if (p.direct)
                    Store::boxes(p.epilogue, &p.y_map, s.staging[warp], sums[g], work.batch, row, work.column);
                else
                    Store::rows(p.epilogue, s.staging[warp], sums[g], work.batch, row, work.column);
            }
        }
        if (p.direct) tma_wait_read<0>();
    }
};

}  // namespace pylayers
