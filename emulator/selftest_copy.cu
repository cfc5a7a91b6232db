// Tiny kernels for copies that go on by themselves: cp.async and TMA, right ones and wrong ones.
#include "emulator/selftest_kernel.hpp"
#include "kernels/core/layout.cuh"

namespace pylayers::selftest {
namespace {

// ------------------------------------------------------------------------------------------- what is right

struct Tiles {
    alignas(16) float tile[3][128 * 4];
};

// data[i] = sum over the tiles of 512 of their elements 511 - i, the last tile being filled up with zeros.
struct TileSum : KernelOf<128, Tiles> {
    static constexpr Target kTarget = Target::kSm80;
    DEVICE static void copy(Buffer const& p, Tiles& s, int tile) {
        int const first = tile * 512 + thread_index() * 4, left = (p.n - first) * 4;
        if (first - tile * 512 < 512 && tile * 512 < p.n)
            cp_async<16>(&s.tile[tile % 3][thread_index() * 4], left > 0 ? p.data + first : p.data,
                         left >= 16 ? 16
                         : left > 0 ? left
                                    : 0);
        cp_async_commit();
    }
    DEVICE static void run(Buffer const& p, Tiles& s) {
        float sum[4] = {};
        copy(p, s, 0);
        copy(p, s, 1);
        for (int tile = 0; tile * 512 < p.n; ++tile) {
            cp_async_wait<1>();
            sync_block();
            copy(p, s, tile + 2);  // to where all have read before they came to the barrier
            for (int i = 0; i < 4; ++i) sum[i] += s.tile[tile % 3][511 - thread_index() * 4 - i];
        }
        for (int i = 0; i < 4; ++i) p.data[thread_index() * 4 + i] = sum[i];  // the last groups are empty
    }
};

struct Landing {
    alignas(16) float row[128];
    Mbarrier full;
};

// Warp 0 copies, warp 1 waits for the mbarrier: data[128 + i] = data[127 - i]
struct CopyByMbarrier : KernelOf<64, Landing> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Buffer const& p, Landing& s) {
        int const lane = thread_index() % 32;
        if (thread_index() == 0) mbarrier_init(&s.full, 32);
        sync_block();
        if (thread_index() < 32) {
            cp_async<8>(s.row + lane * 4, p.data + lane * 4);
            cp_async<4>(s.row + lane * 4 + 2, p.data + lane * 4 + 2);
            cp_async<4>(s.row + lane * 4 + 3, p.data + lane * 4 + 3);
            cp_async_mbarrier_arrive(&s.full);
        } else {
            mbarrier_wait(&s.full, 0);
            for (int i = lane; i < 128; i += 32) p.data[128 + i] = s.row[127 - i];
        }
    }
};

struct Box {
    alignas(1024) float tile[kBoxElements];
    alignas(1024) float spare[kBoxElements];
    Mbarrier full, other;
};

DEVICE void init(Box& s, int arrivals = 1) {
    if (thread_index() == 0) {
        mbarrier_init(&s.full, arrivals);
        mbarrier_init(&s.other, arrivals);
        fence_mbarrier_init();
    }
    sync_block();
}

// By one thread: 8 rows from row `row` on.
DEVICE void load(Rows const& p, Box& s, int row) {
    mbarrier_arrive_expect_tx(&s.full, kBoxBytes);
    tma_load<2>(s.tile, &p.map, &s.full, {0, row});
}

// Rows 8 b to 8 b + 7 of data are doubled, and so they are added where kHow says so.
template <TmaStore kHow> struct DoubleRows : KernelOf<64, Box, Rows> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Rows const& p, Box& s) {
        int const row = int(block_index()) * kBoxRows;
        init(s);
        if (thread_index() < 32 && elect_one()) load(p, s, row);
        mbarrier_wait(&s.full, 0);
        sync_block();
        for (int i = thread_index(); i < kBoxElements; i += 64) s.tile[i] *= 2;
        fence_proxy_async();
        sync_block();
        if (thread_index() < 32 && elect_one()) {
            tma_store<2, kHow>(&p.map, s.tile, {0, row});
            tma_commit();
            tma_wait_read<0>();
        }
    }
};

// data[512 + i] = data[255 - i] + 1 through bulk copies; one thread waits until they are in global memory.
struct BulkMirror : KernelOf<64, Box> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Buffer const& p, Box& s) {
        init(s);
        if (thread_index() == 0) {
            mbarrier_arrive_expect_tx(&s.full, kBoxBytes);
            bulk_load(s.tile, p.data, kBoxBytes / 2, &s.full);
            bulk_load(s.tile + kBoxElements / 2, p.data + kBoxElements / 2, kBoxBytes / 2, &s.full);
        }
        mbarrier_wait(&s.full, 0);
        for (int i = thread_index(); i < kBoxElements; i += 64) s.spare[kBoxElements - 1 - i] = s.tile[i];
        fence_proxy_async();
        sync_block();
        if (thread_index() == 0) {
            bulk_store(p.data + 256, s.spare, kBoxBytes);
            tma_commit();
            tma_wait<0>();
            for (int i = 0; i < kBoxElements; ++i) p.data[512 + i] = p.data[256 + i] + 1;
        }
    }
};

// ------------------------------------------------------------------------------------------- what is wrong

struct KernelAnywhere : KernelOf<32, Landing> {
    DEVICE static void run(Buffer const& p, Landing& s) { cp_async<4>(s.row, p.data); }
};

template <auto kBody> constexpr auto one_copy = start<Case<32, Landing, kBody>>;
// One thread does what the lambda says, where `full` and `other` are initialised.
template <auto kBody>
constexpr auto one_thread = start<Case<64, Box,
                                       [](Rows const& p, Box& s) {
                                           init(s);
                                           if (thread_index() == 0) kBody(p, s);
                                       },
                                       Rows>>;

constexpr Named kKernels[] = {
    {"tile_sum", start<TileSum>},
    {"copy_by_mbarrier", start<CopyByMbarrier>},
    {"double_rows", start<DoubleRows<TmaStore::kWrite>>},
    {"add_double_rows", start<DoubleRows<TmaStore::kAdd>>},
    {"bulk_mirror", start<BulkMirror>},
    {"cp_async_misaligned", one_copy<[](auto& p, auto& s) { cp_async<16>(s.row + 1, p.data); }>},
    {"cp_async_elsewhere", one_copy<[](auto& p, auto&) { cp_async<16>(p.data, p.data); }>},
    {"cp_async_too_much", one_copy<[](auto& p, auto& s) { cp_async<4>(s.row, p.data, 8); }>},
    {"cp_async_unwaited", one_copy<[](auto& p, auto& s) {
         cp_async<4>(s.row + thread_index(), p.data + thread_index());
         cp_async_commit();
     }>},
    {"cp_async_uncommitted", one_copy<[](auto& p, auto& s) {
         cp_async<4>(s.row + thread_index(), p.data + thread_index());
         cp_async_wait<0>();
     }>},
    {"cp_async_source_changed", one_copy<[](auto& p, auto& s) {
         cp_async<4>(s.row + thread_index(), p.data + thread_index());
         p.data[thread_index()] = 7;
         cp_async_commit();
         cp_async_wait<0>();
     }>},
    {"cp_async_target_written", one_copy<[](auto& p, auto& s) {
         cp_async<4>(s.row + thread_index(), p.data + thread_index());
         s.row[thread_index()] = 7;
         cp_async_commit();
         cp_async_wait<0>();
     }>},
    {"cp_async_anywhere", start<KernelAnywhere>},
    {"tma_misaligned", one_thread<[](auto& p, auto& s) { tma_load<2>(s.tile + 8, &p.map, &s.full, {0, 0}); }>},
    {"tma_swizzle_misaligned", one_thread<[](auto& p, auto& s) { tma_load<2>(s.tile + 32, &p.map, &s.full, {0, 0}); }>},
    {"tma_elsewhere", one_thread<[](auto& p, auto& s) { tma_load<2>(p.data, &p.map, &s.full, {0, 0}); }>},
    {"tma_beyond_shared", one_thread<[](auto& p, auto& s) { tma_load<2>(s.spare + 512, &p.map, &s.full, {0, 0}); }>},
    {"tma_of_other_rank", one_thread<[](auto& p, auto& s) { tma_load<3>(s.tile, &p.map, &s.full, {0, 0, 0}); }>},
    {"tma_to_no_block",
     one_thread<[](auto& p, auto& s) { tma_load_multicast<2>(s.tile, &p.map, &s.full, {0, 0}, 0); }>},
    {"tma_to_absent_block",
     one_thread<[](auto& p, auto& s) { tma_load_multicast<2>(s.tile, &p.map, &s.full, {0, 0}, 2); }>},
    {"tma_unwaited", one_thread<[](auto& p, auto& s) { load(p, s, 0); }>},
    {"tma_source_changed", one_thread<[](auto& p, auto& s) {
         load(p, s, 0);
         p.data[40] = 7;
         mbarrier_wait(&s.full, 0);
     }>},
    {"tma_target_written", one_thread<[](auto& p, auto& s) {
         load(p, s, 0);
         s.tile[40] = 7;
         mbarrier_wait(&s.full, 0);
     }>},
    {"tma_unfenced_mbarrier", start<Case<32, Box,
                                         [](Rows const& p, Box& s) {
                                             if (thread_index() != 0) return;
                                             mbarrier_init(&s.full, 1);
                                             load(p, s, 0);
                                             mbarrier_wait(&s.full, 0);
                                         },
                                         Rows>>},
    {"tma_half_expected", one_thread<[](auto& p, auto& s) {
         mbarrier_arrive_expect_tx(&s.full, kBoxBytes / 2);
         tma_load<2>(s.tile, &p.map, &s.full, {0, 0});
         mbarrier_wait(&s.full, 0);
     }>},
    {"store_unfenced", one_thread<[](auto& p, auto& s) {
         for (float& x : s.tile) x = 1;
         tma_store<2>(&p.map, s.tile, {0, 0});
         tma_commit();
         tma_wait<0>();
     }>},
    {"store_source_changed", one_thread<[](auto& p, auto& s) {
         fence_proxy_async();
         tma_store<2>(&p.map, s.tile, {0, 0});
         s.tile[40] = 7;
         tma_commit();
         tma_wait_read<0>();
     }>},
    {"store_unwaited", one_thread<[](auto& p, auto& s) {
         tma_store<2>(&p.map, s.tile, {0, 0});
         tma_commit();
     }>},
    {"store_uncommitted", one_thread<[](auto& p, auto& s) {
         tma_store<2>(&p.map, s.tile, {0, 0});
         tma_wait<0>();
     }>},
    {"store_of_minimum", one_thread<[](auto& p, auto& s) { tma_store<2, TmaStore::kMin>(&p.map, s.tile, {0, 0}); }>},
    {"store_read_too_early", one_thread<[](auto& p, auto& s) {
         for (float& x : s.tile) x = 1;
         fence_proxy_async();
         tma_store<2>(&p.map, s.tile, {0, 0});
         tma_commit();
         tma_wait_read<0>();
         p.data[256] = p.data[40];
     }>},
    {"bulk_misaligned", one_thread<[](auto& p, auto& s) { bulk_load(s.tile, p.data + 1, 16, &s.full); }>},
    {"bulk_of_20", one_thread<[](auto& p, auto& s) { bulk_store(p.data, s.tile, 20); }>},
};

}  // namespace

std::span<Named const> copy_kernels() { return kKernels; }

}  // namespace pylayers::selftest
