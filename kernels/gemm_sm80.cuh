// y[z] = epilogue(a[z] b[z]) by mma.sync: stages of a and b wait in shared memory while cp.async brings the next ones,
// and fragments in registers while the tensor cores multiply those before. bf16, fp16, tf32 and int8 of any strides.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/operand_tile.cuh"
#include "kernels/core/ptx.cuh"
#include "kernels/core/raster.cuh"

namespace pylayers {
using namespace ptx;

struct TileSm80 {
    int m, n;              // of y
    int k_bytes;           // of one stage
    int warps_m, warps_n;  // that share the tile
    int stages;
    int blocks_per_sm;
    TileLoad a, b;
};

// Type: of the products; tf32 for operands in float32.
template <TileSm80 T, class Type> struct GemmSm80 {
    using Sum = Accumulator<Type>;
    static constexpr int kWarps = T.warps_m * T.warps_n;
    static constexpr int kThreads = kWarps * kWarp;
    static constexpr int kBlocksPerSm = T.blocks_per_sm;
    static constexpr Target kTarget = Target::kSm80;
    static constexpr int kTileK = T.k_bytes / int(sizeof(Type));
    static constexpr int kSteps = T.k_bytes / 32;  // instructions along k of one stage
    static constexpr int kWarpM = T.m / T.warps_m, kWarpN = T.n / T.warps_n;
    static constexpr int kFragmentsM = kWarpM / 16, kFragmentsN = kWarpN / 16;
    static constexpr bool kGathers = T.a == TileLoad::kGather;
    static_assert(kGathers == (T.b == TileLoad::kGather), "both operands are copied, or both gathered");
    static_assert(kSteps % 2 == 0, "fragments alternate between two buffers from stage to stage");
    static_assert(kWarpM % 16 == 0 && kWarpN % 32 == 0 && kWarpM <= 64 && kWarpN <= 64);

    using LoaderA = TileLoader<T.a, T.m, T.k_bytes, kThreads, Type>;
    using LoaderB = TileLoader<T.b, T.n, T.k_bytes, kThreads, Type>;

    struct Params {
        OperandMatrix a, b;
        int64_t k, stages_per_split;
        int splits;
        Raster raster;  // of all splits of all batches
        Epilogue epilogue;
    };

    struct Stage {
        typename LoaderA::Tile a;
        typename LoaderB::Tile b;
    };
    struct Shared {
        union {
            Stage stages[T.stages];
            EpilogueTile<Sum> sums[kWarps];  // of each warp, when the stages are done
        };
    };

    // Fragments of one instruction along k.
    struct Fragments {
        uint32_t a[kFragmentsM][4], b[kFragmentsN][4];
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        Epilogue const& e = p.epilogue;
        RasterTile const tile = p.raster.tile(int(block_index()));
        int64_t const z = tile.z / p.splits, row = int64_t(tile.m) * T.m, column = int64_t(tile.n) * T.n;
        int64_t const k = tile.z % p.splits * p.stages_per_split * kTileK, left = divide_up(p.k - k, kTileK);
        LoaderA a(p.a, z, row, k, e.m - row, p.k - k);
        LoaderB b(p.b, z, column, k, e.n - column, p.k - k);
        Sum sums[kFragmentsM][kFragmentsN * 2][4] = {};
        multiply(sums, a, b, shared, left < p.stages_per_split ? left : p.stages_per_split);
        sync_block();  // the stages become the warps' scratch
        store(e, sums, shared.sums[thread_index() / kWarp], tile.z, row + warp_row(), column + warp_column());
    }

    DEVICE static int warp_row() { return thread_index() / kWarp / T.warps_n * kWarpM; }
    DEVICE static int warp_column() { return thread_index() / kWarp % T.warps_n * kWarpN; }

    DEVICE static int next(int stage) { return stage + 1 == T.stages ? 0 : stage + 1; }

    // One barrier a stage: it says both that the next stage has landed and that the one before may be overwritten, for
    // the fragments of the last instruction of a stage are read before it.
    DEVICE static void multiply(Sum (&sums)[kFragmentsM][kFragmentsN * 2][4], LoaderA& a, LoaderB& b, Shared& shared,
                                int64_t stages) {
        // The registers of a fragment of a go by rows, then k; those of b by k, then rows: it is two of `mma`.
        int const half = thread_index() / 8 % 2, quarter = thread_index() / 16 % 2;
        int const place_a = LoaderA::Tile::lane_place(warp_row(), half, quarter);
        int const place_b = LoaderB::Tile::lane_place(warp_column(), quarter, half);
        Fragments fragments[2];
        if constexpr (kGathers)
            if (stages > 0) a.read(), b.read();
        UNROLL
        for (int i = 0; i < T.stages - 1; ++i) {
            if (i < stages) fill(a, b, shared.stages[i], i + 1 < stages);
            if constexpr (!kGathers) cp_async_commit();
        }
        int reading = 0, filling = T.stages - 1;
        wait_for_stage();
        read(fragments[0], shared.stages[0], place_a, place_b, 0);
        for (; stages > 0; --stages) {
            UNROLL
            for (int i = 0; i < kSteps; ++i) {
                if (i == kSteps - 1) {
                    wait_for_stage();
                    reading = next(reading);
                }
                read(fragments[(i + 1) % 2], shared.stages[reading], place_a, place_b, (i + 1) % kSteps);
                if (i == 0) {
                    if (stages >= T.stages) fill(a, b, shared.stages[filling], stages > T.stages);
                    if constexpr (!kGathers) cp_async_commit();
                    filling = next(filling);
                }
                multiply(sums, fragments[i % 2]);
            }
        }
    }

    // Fills the next stage: by copies that land later, or by the elements that were read before, and if there is `more`
    // those of the stage after it set out.
    DEVICE static void fill(LoaderA& a, LoaderB& b, Stage& stage, bool more) {
        if constexpr (kGathers) {
            a.write(stage.a);
            b.write(stage.b);
            if (more) a.read(), b.read();
        } else {
            a.copy(stage.a);
            b.copy(stage.b);
        }
    }
    DEVICE static void wait_for_stage() {
        if constexpr (!kGathers) cp_async_wait<T.stages - 2>();
        sync_block();
    }

    DEVICE static void read(Fragments& f, Stage const& stage, int place_a, int place_b, int step) {
        UNROLL
        for (int i = 0; i < kFragmentsM; ++i) {
            stage.a.read(f.a[i], place_a, i, step);
            if constexpr (!kGathers) round(f.a[i]);
        }
        UNROLL
        for (int i = 0; i < kFragmentsN; ++i) {
            stage.b.read(f.b[i], place_b, i, step);
            if constexpr (!kGathers) round(f.b[i]);
        }
    }

    // The tensor cores would cut a float's last bits off.
    DEVICE static void round(uint32_t (&fragment)[4]) {
        if constexpr (std::is_same_v<Type, tf32>) UNROLL
        for (int i = 0; i < 4; ++i) fragment[i] = round_to_tf32(float_from_bits(fragment[i]));
    }

    DEVICE static void multiply(Sum (&sums)[kFragmentsM][kFragmentsN * 2][4], Fragments const& f) {
        UNROLL
        for (int i = 0; i < kFragmentsM; ++i) UNROLL
        for (int j = 0; j < kFragmentsN * 2; ++j) {
            uint32_t const b[2] = {f.b[j / 2][j % 2 * 2], f.b[j / 2][j % 2 * 2 + 1]};
            mma<Type>(sums[i][j], f.a[i], b);
        }
    }

    // 16 rows by 32 columns at a time, in a loop that is not unrolled: the epilogue is long.
    DEVICE static void store(Epilogue const& e, Sum const (&sums)[kFragmentsM][kFragmentsN * 2][4],
                             EpilogueTile<Sum>& tile, int64_t z, int64_t row, int64_t column) {
        constexpr int kAcross = kWarpN / kEpilogueColumns;
        for (int part = 0; part < kFragmentsM * kAcross; ++part) {
            UNROLL
            for (int i = 0; i < kFragmentsM * kAcross; ++i)  // registers have no index
                if (i == part) tile.put(sums[i / kAcross][i % kAcross * 4]);
            sync_warp();
            store_tile(e, tile, z, row + part / kAcross * kEpilogueRows, column + part % kAcross * kEpilogueColumns);
            sync_warp();
        }
    }
};

}  // namespace pylayers
