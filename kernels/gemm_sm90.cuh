// y[z] = epilogue(a[z] b[z]) on Hopper: a producer warpgroup fills a ring of 128-byte wide tiles (TMA, or loads of
// single elements where TMA cannot address an operand), consumer warpgroups multiply them by wgmma; blocks walk over
// the tiles.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/layout.cuh"
#include "kernels/core/operand_tile.cuh"
#include "kernels/core/raster.cuh"
#include "kernels/core/ring.cuh"

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
    static constexpr int kRowBytes = 128;  // of a tile in shared memory, the span of its swizzle
    static constexpr int kTileK = kRowBytes / int(sizeof(A));
    static constexpr int kSteps = kRowBytes / 32;  // wgmmas along k
    static constexpr int kConsumersOfTile = T.schedule == Schedule::kPingPong ? 1 : T.consumers;
    static constexpr int kGroups = T.m / 64 / kConsumersOfTile;  // of 64 rows, of one consumer
    static constexpr int kWarps = T.consumers * 4;
    static constexpr int kBlockBytes = 64 * kRowBytes;  // an MN-major tile is made of these: 64 m or n by 64 k
    // fp8 products add up in about 14 bits: sums of one tile of k go to float32 before they lose more.
    static constexpr bool kPromoted = sizeof(A) == 1 && !std::is_same_v<A, int8_t>;
    using Sum = Accumulator<A>;
    using Sums = Sum[kGroups][T.n / 2];
    // What tiles of y may be stored as by TMA.
    using Output = std::conditional_t<sizeof(A) == 2, A, std::conditional_t<kPromoted, bf16, Sum>>;
    using Span = layout::Swizzle;

    static constexpr int kThreads = (1 + T.consumers) * kWarpgroup;
    static constexpr int kBlocksPerSm = 1;
    static constexpr int kCluster = T.cluster;
    static constexpr Target kTarget = Target::kSm90a;
    static_assert(T.schedule == Schedule::kCooperative || T.consumers == 2);
    static_assert(T.m % (64 * kConsumersOfTile) == 0 && T.n % (64 * T.cluster) == 0);
    static_assert(T.source == Source::kTma || (T.cluster == 1 && T.a == Major::kK && T.b == Major::kK));

    // Gathered tiles come in parts along k: elements wait in registers, one in each, and 64 are what a thread has.
    static constexpr int kParts = 4 / int(sizeof(A)), kPartBytes = kRowBytes / kParts;
    using LoaderA = TileLoader<TileLoad::kGather, T.m, kPartBytes, kWarpgroup, A>;
    using LoaderB = TileLoader<TileLoad::kGather, T.n, kPartBytes, kWarpgroup, B>;

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
        SwizzledTile<T.m, kRowBytes> a[T.stages];
        SwizzledTile<T.n, kRowBytes> b[T.stages];
        unsigned char staging[kWarps][2][16 * kRowBytes];  // of y, for one warp each
        Ring<T.stages> ring;
    };
    static_assert(sizeof(EpilogueTile<Sum>) <= 2 * 16 * kRowBytes);

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

    // ------------------------------------------------------------------------------------------- producer

    DEVICE static void load_tiles(Params const& p, Shared& s) {
        if (p.steps > 0) {
            tma_prefetch(&p.a_map);
            tma_prefetch(&p.b_map);
        }
        Position at;
        for (int i = first_work(); i < p.raster.tiles; i += next_work()) {
            Work const work(p, i);
            for (int step = 0; step < work.steps; ++step) {
                Mbarrier* const full = &s.ring.full[at.stage];
                int const k = work.k(step);
                mbarrier_wait_cluster(&s.ring.empty[at.stage], at.parity_before());
                mbarrier_arrive_expect_tx(full, (T.m + T.n) * kRowBytes);
                load<T.a, T.m>(s.a[at.stage].bytes, &p.a_map, full, work.row, k, p.a_batched ? work.z : 0);
                load<T.b, T.n, T.cluster>(s.b[at.stage].bytes, &p.b_map, full, work.column, k,
                                          p.b_batched ? work.z : 0);
                at.advance();
            }
        }
    }

    // kSize rows of a tile; with kShares > 1 this block's share of them, to every block of the cluster.
    template <Major kMajor, int kSize, int kShares = 1>
    DEVICE static void load(unsigned char* tile, TensorMap const* map, Mbarrier* full, int outer, int k, int z) {
        constexpr int kPart = kSize / kShares;
        int const first = kShares > 1 ? cluster_rank() * kPart : 0;
        auto const box = [&](int offset, int32_t const(&at)[3]) {
            if constexpr (kShares > 1)
                tma_load_multicast(tile + offset, map, full, at, uint16_t((1 << kShares) - 1));
            else
                tma_load(tile + offset, map, full, at);
        };
        if constexpr (kMajor == Major::kK) {
            box(first * kRowBytes, {k, outer + first, z});
        } else {
            UNROLL
            for (int i = 0; i < kPart; i += 64) box((first + i) * kRowBytes, {outer + first + i, k, z});
        }
    }

    DEVICE static void gather_tiles(Params const& p, Shared& s) {
        Position at;
        for (int i = first_work(); i < p.raster.tiles; i += next_work()) {
            Work const work(p, i);
            int64_t const k = work.k(0), k_left = p.k - k;
            LoaderA a(p.a, work.z, work.row, k, p.epilogue.m - work.row, k_left);
            LoaderB b(p.b, work.z, work.column, k, p.epilogue.n - work.column, k_left);
            if (work.steps > 0) a.read(), b.read();
            for (int left = work.steps * kParts, part = 0; left > 0; --left) {
                if (part == 0) mbarrier_wait(&s.ring.empty[at.stage], at.parity_before());
                a.write(s.a[at.stage], part * kPartBytes);
                b.write(s.b[at.stage], part * kPartBytes);
                if (++part == kParts) {
                    fence_proxy_async();
                    sync_warp();
                    if (elect_one()) mbarrier_arrive(&s.ring.full[at.stage]);
                    at.advance();
                    part = 0;
                }
                if (left > 1) a.read(), b.read();
            }
        }
    }

    // ------------------------------------------------------------------------------------------ consumers

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
            Sums sums;
            // Who waited for a stage whose turn is two ahead would take the end of this turn for the end of that.
            if (T.schedule == Schedule::kPingPong && i != first_work()) barrier_sync(1 + consumer, 2 * kWarpgroup);
            multiply(s, at, work.steps, first_row, sums, [&] {
                if (T.schedule == Schedule::kPingPong && i + next_work() < p.raster.tiles)
                    barrier_arrive(2 - consumer, 2 * kWarpgroup);
            });
            UNROLL
            for (int g = 0; g < kGroups; ++g) {
                int const row = work.row + first_row + g * 64 + warp % 4 * 16;
                if (p.direct)
                    store_direct(p, s.staging[warp], sums[g], work, row);
                else
                    store_rows(p, s.staging[warp], sums[g], work, row);
            }
        }
        if (p.direct) tma_wait_read<0>();
    }

    // This consumer's sums over `steps` tiles of k; calls `arrived` when the last of them has come.
    template <class Arrived>
    DEVICE static void multiply(Shared& s, Position& at, int steps, int first_row, Sums& sums, Arrived arrived) {
        if (kPromoted || steps == 0) zero(sums);
        if constexpr (kPromoted) {
            for (int step = 0; step < steps; ++step) {
                Sums part;
                mbarrier_wait(&s.ring.full[at.stage], at.parity);
                issue(s, at.stage, first_row, part, false);
                wgmma_wait<0>();
                release(s, at.stage);
                UNROLL
                for (int g = 0; g < kGroups; ++g) UNROLL
                for (int i = 0; i < T.n / 2; ++i) sums[g][i] += part[g][i];
                at.advance();
            }
        } else if (steps > 0) {
            mbarrier_wait(&s.ring.full[at.stage], at.parity);
            issue(s, at.stage, first_row, sums, false);
            for (int step = 1; step < steps; ++step) {
                int const previous = at.stage;
                at.advance();
                mbarrier_wait(&s.ring.full[at.stage], at.parity);
                issue(s, at.stage, first_row, sums, true);
                wgmma_wait<1>();  // this group stays under way; the one before has read its stage
                release(s, previous);
            }
            arrived();
            wgmma_wait<0>();
            release(s, at.stage);
            at.advance();
        }
        if (kPromoted || steps == 0) arrived();
        UNROLL
        for (int g = 0; g < kGroups; ++g) keep_registers(sums[g]);
    }

    DEVICE static void zero(Sums& sums) {
        UNROLL
        for (int g = 0; g < kGroups; ++g) UNROLL
        for (int i = 0; i < T.n / 2; ++i) sums[g][i] = Sum(0);
    }

    // The multiplications of one stage as one group.
    DEVICE static void issue(Shared& s, int stage, int first_row, Sums& sums, bool accumulate) {
        uint32_t const a = shared_address(s.a[stage].bytes) + first_row * kRowBytes;
        uint32_t const b = shared_address(s.b[stage].bytes);
        UNROLL
        for (int g = 0; g < kGroups; ++g) keep_registers(sums[g]);
        wgmma_fence();
        UNROLL
        for (int i = 0; i < kSteps; ++i) UNROLL
        for (int g = 0; g < kGroups; ++g)
            wgmma<A, B, T.n, T.a, T.b>(sums[g], descriptor<T.a>(a + g * kBlockBytes, i), descriptor<T.b>(b, i),
                                       accumulate || i > 0);
        wgmma_commit();
    }

    // Of the 32 bytes of k of step i: along the row, or 16 rows further.
    template <Major kMajor> DEVICE static uint64_t descriptor(uint32_t tile, int i) {
        if constexpr (kMajor == Major::kK) return layout::matrix_descriptor<Span::k128>(tile + i * 32, 16, 1024);
        return layout::matrix_descriptor<Span::k128>(tile + i * 16 * kRowBytes, kBlockBytes, 1024);
    }

    DEVICE static void release(Shared& s, int stage) {
        int const lane = thread_index() % kWarp;
        if constexpr (T.cluster > 1) {
            if (lane < T.cluster) mbarrier_arrive_cluster(&s.ring.empty[stage], lane);
        } else if (lane == 0) {
            mbarrier_arrive(&s.ring.empty[stage]);
        }
    }

    // ------------------------------------------------------------------------------------------- epilogue

    DEVICE static void store_rows(Params const& p, unsigned char (&staging)[2][16 * kRowBytes], Sum (&sums)[T.n / 2],
                                  Work const& work, int row) {
        auto& tile = *reinterpret_cast<EpilogueTile<Sum>*>(&staging);
        ROLLED  // the epilogue stands in the code once; which accumulators it takes is a choice among constants
            for (int column = 0; column < T.n; column += kEpilogueColumns) {
            UNROLL
            for (int i = 0; i < T.n; i += kEpilogueColumns)
                if (i == column) tile.put(&sums[i / 2]);
            sync_warp();
            store_tile(p.epilogue, tile, work.batch, row, work.column + column);
            sync_warp();  // before the next columns overwrite these
        }
    }

    DEVICE static void store_direct(Params const& p, unsigned char (&staging)[2][16 * kRowBytes], Sum (&sums)[T.n / 2],
                                    Work const& work, int row) {
        constexpr int kColumns = kRowBytes / int(sizeof(Output));  // of one store
        // Buffers take turns, from one tile to the next too only where a tile has an even number of stores.
        constexpr int kUnderWay = T.n / kColumns % 2 == 0 ? 1 : 0;
        int const lane = thread_index() % kWarp;
        if constexpr (std::is_same_v<Sum, float>) scale_and_shift(p.epilogue, sums, work.column);
        UNROLL
        for (int column = 0; column < T.n; column += kColumns) {
            unsigned char* const buffer = staging[column / kColumns % 2];
            if (lane == 0) tma_wait_read<kUnderWay>();  // the last store from this buffer has read it
            sync_warp();
            stage<kColumns>(buffer, &sums[column / 2]);
            fence_proxy_async();
            sync_warp();
            if (lane == 0) {
                if (row < p.epilogue.m && work.column + column < p.epilogue.n)
                    tma_store(&p.y_map, buffer, {work.column + column, row, work.batch});
                tma_commit();
            }
        }
    }

    // sums = relu(alpha scale_a scale_b sums + bias), each as far as the epilogue has it.
    DEVICE static void scale_and_shift(Epilogue const& e, Sum (&sums)[T.n / 2], int column0) {
        float const scale = e.alpha * e.scale_a.at(0) * e.scale_b.at(0);
        auto const bias = static_cast<Output const*>(e.bias.data);
        UNROLL
        for (int i = 0; i < T.n / 2; ++i) {
            int const column = column0 + layout::wgmma_d(thread_index() % kWarpgroup, i).column;
            float const shift = bias && column < e.n ? to_float(bias[column * e.bias.column]) : 0.0f;
            sums[i] = fmaf(sums[i], scale, shift);
        }
        if (e.activation == Activation::kRelu) UNROLL
        for (int i = 0; i < T.n / 2; ++i) sums[i] = activate(sums[i], Activation::kRelu);
    }

    // 16 rows of kColumns sums as the swizzled box that a store of y takes.
    template <int kColumns> DEVICE static void stage(unsigned char* buffer, Sum const* sums) {
        int const lane = thread_index() % kWarp;
        if constexpr (sizeof(Output) == 2) {
            UNROLL
            for (int column = 0; column < kColumns; column += 16) {
                Sum const* const d = sums + column / 2;
                uint32_t const packed[4] = {pack<Output>(d[0], d[1]), pack<Output>(d[2], d[3]),
                                            pack<Output>(d[4], d[5]), pack<Output>(d[6], d[7])};
                int const byte = lane % 16 * kRowBytes + (column + lane / 16 * 8) * 2;
                stmatrix(buffer + layout::swizzled<Span::k128>(byte), packed);
            }
        } else {
            struct alignas(8) Pair {
                Sum x[2];
            };
            UNROLL
            for (int i = 0; i < kColumns / 2; i += 2) {
                layout::Position const at = layout::wgmma_d(lane, i);
                int const byte = at.row * kRowBytes + at.column * 4;
                *reinterpret_cast<Pair*>(buffer + layout::swizzled<Span::k128>(byte)) = {sums[i], sums[i + 1]};
            }
        }
    }
};

}  // namespace pylayers
