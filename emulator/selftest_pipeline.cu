// A small matrix product as they are written for Hopper, with TMA, mbarriers, wgmma and, in clusters of two, multicast;
// and the same with the classic mistakes.
#include "emulator/selftest_kernel.hpp"
#include "kernels/core/layout.cuh"

namespace pylayers::selftest {
namespace {

constexpr int kTile = 64, kK = 64 * 5, kM = 2 * kTile, kStages = 2, kTileBytes = kTile * 128;
constexpr int kConsumers = 128;

enum class Bug {
    kNone,
    kParity,        // the producer waits for the wrong phase of `empty`
    kHalfBytes,     // half of the bytes are expected
    kEarlyRelease,  // a stage is given back while wgmma may still read it
    kWrongBlock,    // the peer's arrivals go to the own block
    kOneWarp,       // only one warp waits for `full`
};

struct Maps {
    TensorMap a, b, y;
};

struct PipelineShared {
    alignas(1024) unsigned char a[kStages][kTileBytes], b[kStages][kTileBytes];
    alignas(1024) unsigned char staging[kTile * 128];
    Mbarrier full[kStages], empty[kStages];
};

// y (128, n) = a (128, 320) b (n, 320)^T, by tiles of 64 x 64: bfloat16 to float32. a, b and y follow each other in the
// buffer. The blocks of a cluster stand below each other and share b.
template <int kBlocks, Bug kBug = Bug::kNone> struct Pipeline : KernelOf<256, PipelineShared, Maps, kBlocks> {
    static constexpr Target kTarget = Target::kSm90a;

    static Maps params(Buffer buffer) {
        int const n = (buffer.n - kM * kK / 2) / (kK / 2 + kM);
        float* const b = buffer.data + kM * kK / 2;
        auto const map = [](DType dtype, float* data, int rows, int columns, int box_columns, int box_rows) {
            TensorMapSpec s{.dtype = dtype, .data = data, .rank = 2, .swizzle_bytes = 128};
            s.sizes = {columns, rows};
            s.strides = {1, columns};
            s.box = {box_columns, box_rows};
            return encode(s);
        };
        return {map(DType::kBfloat16, buffer.data, kM, kK, 64, kTile),
                map(DType::kBfloat16, b, n, kK, 64, kTile / kBlocks),
                map(DType::kFloat32, b + n * kK / 2, kM, n, 32, kTile)};
    }

    DEVICE static int row() { return int(block_index() % 2) * kTile; }
    DEVICE static int column() { return int(block_index() / 2) * kTile; }

    DEVICE static void run(Maps const& p, PipelineShared& s) {
        if (thread_index() == 0) {
            for (int i = 0; i < kStages; ++i) {
                mbarrier_init(&s.full[i], 1);
                mbarrier_init(&s.empty[i], 4 * kBlocks);
            }
            fence_mbarrier_init();
        }
        sync_all();
        if (thread_index() >= kConsumers) {
            setmaxnreg_dec<40>();
            if (thread_index() / 32 == kConsumers / 32 && elect_one()) produce(p, s);
        } else {
            setmaxnreg_inc<256>();
            consume(p, s);
        }
        if constexpr (kBlocks > 1) sync_all();  // a peer may still arrive here
    }

    DEVICE static void sync_all() {
        if constexpr (kBlocks > 1) {
            cluster_arrive();
            cluster_wait();
        } else {
            sync_block();
        }
    }

    DEVICE static void produce(Maps const& p, PipelineShared& s) {
        tma_prefetch(&p.a);
        for (int step = 0; step < kK / 64; ++step) {
            int const stage = step % kStages, parity = step / kStages % 2;
            mbarrier_wait_cluster(&s.empty[stage], kBug == Bug::kParity ? parity : parity ^ 1);
            mbarrier_arrive_expect_tx(&s.full[stage], kBug == Bug::kHalfBytes ? kTileBytes : 2 * kTileBytes);
            tma_load<2>(s.a[stage], &p.a, &s.full[stage], {step * 64, row()});
            if constexpr (kBlocks == 1) {
                tma_load<2>(s.b[stage], &p.b, &s.full[stage], {step * 64, column()});
            } else {
                int const part = cluster_rank() * kTile / kBlocks;
                tma_load_multicast<2>(s.b[stage] + part * 128, &p.b, &s.full[stage], {step * 64, column() + part},
                                      (1 << kBlocks) - 1);
            }
        }
    }

    DEVICE static uint64_t descriptor(unsigned char const* tile, int k) {
        return layout::matrix_descriptor<layout::Swizzle::k128>(shared_address(tile) + k * 32, 0, 1024);
    }

    DEVICE static void release(PipelineShared& s, int stage) {
        int const lane = thread_index() % 32;
        if (lane < kBlocks) mbarrier_arrive_cluster(&s.empty[stage], kBug == Bug::kWrongBlock ? cluster_rank() : lane);
    }

    DEVICE static void consume(Maps const& p, PipelineShared& s) {
        float d[32] = {};
        for (int step = 0; step < kK / 64; ++step) {
            int const stage = step % kStages, parity = step / kStages % 2;
            if (kBug != Bug::kOneWarp || thread_index() < 32) mbarrier_wait(&s.full[stage], parity);
            wgmma_fence();
            for (int k = 0; k < 4; ++k)
                wgmma<bf16, bf16, 64>(d, descriptor(s.a[stage], k), descriptor(s.b[stage], k), true);
            wgmma_commit();
            if (kBug == Bug::kEarlyRelease) release(s, stage);
            wgmma_wait<0>();
            if (kBug != Bug::kEarlyRelease) release(s, stage);
        }
        for (int half = 0; half < 2; ++half) {
            if (half > 0) {  // the staging memory is used again
                if (thread_index() == 0) tma_wait_read<0>();
                barrier_sync(1, kConsumers);
            }
            for (int i = 0; i < 16; ++i) {
                layout::Position const at = layout::wgmma_d(thread_index(), i);
                *reinterpret_cast<float*>(s.staging + layout::swizzled<layout::Swizzle::k128>(
                                                          at.row * 128 + at.column * 4)) = d[half * 16 + i];
            }
            fence_proxy_async();
            barrier_sync(2, kConsumers);
            if (thread_index() == 0) {
                tma_store<2>(&p.y, s.staging, {column() + half * 32, row()});
                tma_commit();
            }
        }
        if (thread_index() == 0) tma_wait_read<0>();
    }
};

constexpr Named kKernels[] = {
    {"pipeline", start<Pipeline<1>>},
    {"pipeline_parity", start<Pipeline<1, Bug::kParity>>},
    {"pipeline_half_bytes", start<Pipeline<1, Bug::kHalfBytes>>},
    {"pipeline_early_release", start<Pipeline<1, Bug::kEarlyRelease>>},
    {"pipeline_one_warp", start<Pipeline<1, Bug::kOneWarp>>},
    {"multicast", start<Pipeline<2>>},
    {"multicast_early_release", start<Pipeline<2, Bug::kEarlyRelease>>},
    {"multicast_wrong_block", start<Pipeline<2, Bug::kWrongBlock>>},
};

}  // namespace

std::span<Named const> pipeline_kernels() { return kKernels; }

}  // namespace pylayers::selftest
