// Tiny kernels for barriers, mbarriers, clusters, registers and flags: right ones and wrong ones.
#include "emulator/selftest_kernel.hpp"

namespace pylayers::selftest {
namespace {

// ------------------------------------------------------------------------------------------- what is right

// Warp 0 gives, warp 1 takes, over one slot: data[t] = 0 + 1 + ... + 4 + 5 t
struct GiveAndTake : KernelOf<64, Row<32>> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const lane = thread_index() % 32;
        float sum = 0;
        for (int i = 0; i < 5; ++i)
            if (thread_index() < 32) {
                if (i > 0) barrier_sync(2, 64);  // the slot is free
                s.row[31 - lane] = float(i + 31 - lane);
                barrier_arrive(1, 64);
            } else {
                barrier_sync(1, 64);
                sum += s.row[lane];
                if (i < 4) barrier_arrive(2, 64);
            }
        if (thread_index() >= 32) p.data[lane] = sum;
    }
};

struct Slots {
    Mbarrier full[2], empty[2];
    float row[2][32];
};

// The same with mbarriers over two slots, seven times.
struct MbarrierPipeline : KernelOf<64, Slots> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Params const& p, Shared& s) {
        int const lane = thread_index() % 32;
        if (thread_index() == 0)
            for (int i = 0; i < 2; ++i) {
                mbarrier_init(&s.full[i], 32);
                mbarrier_init(&s.empty[i], 1);
            }
        sync_block();
        float sum = 0;
        for (int i = 0; i < 7; ++i) {
            int const slot = i % 2, parity = i / 2 % 2;
            if (thread_index() < 32) {
                mbarrier_wait(&s.empty[slot], parity ^ 1);
                s.row[slot][31 - lane] = float(i + 31 - lane);
                mbarrier_arrive(&s.full[slot]);
            } else {
                if (i % 2)
                    mbarrier_wait(&s.full[slot], parity);
                else
                    while (!mbarrier_test(&s.full[slot], parity)) {
                    }
                sum += s.row[slot][lane];
                sync_warp();
                if (lane == 0) mbarrier_arrive(&s.empty[slot]);
            }
        }
        if (thread_index() >= 32) p.data[lane] = sum;
    }
};

struct Mailbox {
    Mbarrier here;
    float row[32];
};

// data[block, lane] = what the other block of the pair sent: 100 times its number, and 31 - lane.
template <bool kByMbarrier> struct Exchange : KernelOf<32, Mailbox, Buffer, 2> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Buffer const& p, Mailbox& s) {
        int const lane = thread_index(), other = cluster_rank() ^ 1;
        if (kByMbarrier && lane == 0) {
            mbarrier_init(&s.here, 32);
            fence_mbarrier_init();
        }
        cluster_arrive();
        cluster_wait();
        *cluster_map(&s.row[31 - lane], other) = float(block_index() * 100 + lane);
        if (kByMbarrier) {
            mbarrier_arrive_cluster(&s.here, other);
            mbarrier_wait_cluster(&s.here, 0);
        } else {
            cluster_arrive();
            cluster_wait();
        }
        p.data[block_index() * 32 + lane] = s.row[lane] + float(cluster_size() - 2);
        // The other block has written here; it must not be gone when this one's writes arrive.
        cluster_arrive();
        cluster_wait();
    }
};

// Four warpgroups of 128 registers each: one gives some back, the others take them.
struct RegisterPool : KernelOf<512> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() < 128)
            setmaxnreg_dec<32>();
        else
            setmaxnreg_inc<160>();
        if (thread_index() % 128 == 0) p.data[thread_index() / 128] = 1;
    }
};

// Each block waits for the one after it: data[b] = b + data[b + 1]. Behind them: flags.
struct BlockChain : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() != 0) return;
        auto const flags = reinterpret_cast<uint32_t*>(p.data + block_count());
        float sum = float(block_index());
        if (block_index() + 1 < block_count()) {
            if (block_index() % 2)
                wait_flag(&flags[block_index() + 1], 1);
            else
                while (load_acquire(&flags[block_index() + 1]) != 1) {
                }
            sum += p.data[block_index() + 1];
        }
        p.data[block_index()] = sum;
        store_release(&flags[block_index()], 1);
    }
};

// data = (sum of the lanes, their largest, the lanes below 7 as bits, how many were elected); floats, then integers.
struct Votes : KernelOf<64> {
    DEVICE static void run(Params const& p, Shared&) {
        auto const integers = reinterpret_cast<int32_t*>(p.data);
        int const lane = thread_index() % 32;
        atomic_add(&p.data[0], float(lane));
        atomic_max(&integers[1], lane);
        uint32_t const few = ballot(lane < 7);
        if (lane == 3) atomic_max(reinterpret_cast<uint32_t*>(&integers[2]), few);
        if (elect_one()) atomic_add(&integers[3], int32_t(1));
    }
};

// ------------------------------------------------------------------------------------------- what is wrong

using Pair = Row<2>;
struct OneBarrier {
    Mbarrier barrier;
    uint64_t other;
};

constexpr Named kKernels[] = {
    {"give_and_take", start<GiveAndTake>},
    {"mbarrier_pipeline", start<MbarrierPipeline>},
    {"exchange", start<Exchange<false>>},
    {"exchange_by_mbarrier", start<Exchange<true>>},
    {"register_pool", start<RegisterPool>},
    {"block_chain", start<BlockChain>},
    {"votes", start<Votes>},
    {"wait_for_next", start<Case<32, Nothing,
                                 [](auto& p, auto&) {
                                     wait_flag(reinterpret_cast<uint32_t*>(p.data), uint32_t(block_index() + 1));
                                     store_release(reinterpret_cast<uint32_t*>(p.data), uint32_t(block_index()));
                                 }>>},
    {"mixed_counts", start<Case<96, Nothing, [](auto&, auto&) { barrier_sync(3, thread_index() < 32 ? 64 : 96); }>>},
    {"half_a_warp", start<Case<96, Nothing, [](auto&, auto&) { barrier_sync(3, 48); }>>},
    {"barrier_16", start<Case<32, Nothing, [](auto&, auto&) { barrier_arrive(16, 32); }>>},
    {"missing_warp",
     start<Case<96, Nothing, [](auto&, auto&) { thread_index() < 64 ? barrier_sync(3, 96) : void(); }>>},
    {"divergent_named_barrier",
     start<Case<32, Nothing, [](auto&, auto&) { thread_index() < 16 ? barrier_sync(3, 32) : barrier_sync(4, 32); }>>},
    {"wait_without_arrive", start<Case<32, Nothing, [](auto&, auto&) { cluster_wait(); }>>},
    {"arrive_twice", start<Case<32, Nothing, [](auto&, auto&) { cluster_arrive(), cluster_arrive(); }, Buffer, 2>>},
    {"block_of_no_cluster",
     start<Case<32, Pair, [](auto& p, Pair& s) { p.data[0] = *cluster_map(&s.row[0], 2); }, Buffer, 2>>},
    {"foreign_address", start<Case<32, Pair, [](auto& p, Pair&) { p.data[0] = float(shared_address(p.data)); }>>},
    {"early_block", start<Case<32, Pair,
                               [](auto& p, Pair& s) {
                                   float volatile* const other = cluster_map(&s.row[0], cluster_rank() ^ 1);
                                   cluster_arrive();
                                   cluster_wait();
                                   if (cluster_rank() == 1) return;
                                   for (int i = 0; i < 200; ++i) sync_warp();
                                   p.data[thread_index()] = *other;
                               },
                               Buffer, 2>>},
    {"early_block_arrival", start<Case<32, OneBarrier,
                                       [](auto&, OneBarrier& s) {
                                           if (thread_index() == 0)
                                               mbarrier_init(&s.barrier, 64), fence_mbarrier_init();
                                           cluster_arrive();
                                           cluster_wait();
                                           if (cluster_rank() == 1) return;
                                           for (int i = 0; i < 200; ++i) sync_warp();
                                           mbarrier_arrive_cluster(&s.barrier, 1);
                                       },
                                       Buffer, 2>>},
    {"uninitialised_mbarrier", start<Case<32, OneBarrier, [](auto&, OneBarrier& s) { mbarrier_arrive(&s.barrier); }>>},
    {"overwritten_mbarrier", start<Case<32, OneBarrier,
                                        [](auto&, OneBarrier& s) {
                                            if (thread_index() == 0) mbarrier_init(&s.barrier, 32);
                                            sync_warp();
                                            if (thread_index() == 0) s.barrier.state = 1;
                                            sync_warp();
                                            mbarrier_wait(&s.barrier, 0);
                                        }>>},
    {"initialised_twice", start<Case<32, OneBarrier, [](auto&, OneBarrier& s) { mbarrier_init(&s.barrier, 1); }>>},
    {"no_arrivals", start<Case<32, OneBarrier, [](auto&, OneBarrier& s) { mbarrier_init(&s.barrier, 0); }>>},
    {"misaligned_mbarrier", start<Case<32, OneBarrier,
                                       [](auto&, OneBarrier& s) {
                                           mbarrier_init(
                                               reinterpret_cast<Mbarrier*>(reinterpret_cast<char*>(&s.barrier) + 4), 1);
                                       }>>},
    {"foreign_mbarrier",
     start<Case<32, OneBarrier, [](auto& p, auto&) { mbarrier_init(reinterpret_cast<Mbarrier*>(p.data), 1); }>>},
    {"too_many_arrivals", start<Case<32, OneBarrier,
                                     [](auto&, OneBarrier& s) {
                                         if (thread_index() == 0)
                                             mbarrier_init(&s.barrier, 31), mbarrier_expect_tx(&s.barrier, 8);
                                         sync_warp();
                                         mbarrier_arrive(&s.barrier);
                                     }>>},
    {"parity_2", start<Case<32, OneBarrier,
                            [](auto&, OneBarrier& s) {
                                if (thread_index() == 0) mbarrier_init(&s.barrier, 1), mbarrier_wait(&s.barrier, 2);
                            }>>},
    {"bytes_that_never_come", start<Case<32, OneBarrier,
                                         [](auto&, OneBarrier& s) {
                                             if (thread_index() == 0)
                                                 mbarrier_init(&s.barrier, 1),
                                                     mbarrier_arrive_expect_tx(&s.barrier, 64);
                                         }>>},
    {"too_many_bytes", start<Case<32, OneBarrier,
                                  [](auto&, OneBarrier& s) {
                                      if (thread_index() == 0)
                                          mbarrier_init(&s.barrier, 1), mbarrier_expect_tx(&s.barrier, 1 << 20);
                                  }>>},
    {"mbarrier_deadlock", start<Case<64, OneBarrier,
                                     [](auto&, OneBarrier& s) {
                                         if (thread_index() == 0) mbarrier_init(&s.barrier, 3);
                                         sync_block();
                                         if (thread_index() == 0) mbarrier_arrive(&s.barrier);
                                         if (thread_index() < 40) mbarrier_wait(&s.barrier, 0);
                                     }>>},
    {"unfenced_remote_mbarrier", start<Case<32, OneBarrier,
                                            [](auto&, OneBarrier& s) {
                                                if (thread_index() == 0) mbarrier_init(&s.barrier, 32);
                                                cluster_arrive();
                                                cluster_wait();
                                                mbarrier_arrive_cluster(&s.barrier, cluster_rank() ^ 1);
                                                mbarrier_wait_cluster(&s.barrier, 0);
                                            },
                                            Buffer, 2>>},
    {"registers_for_ever", start<Case<512, Nothing, [](auto&, auto&) { setmaxnreg_inc<136>(); }>>},
    {"more_by_dec", start<Case<512, Nothing, [](auto&, auto&) { setmaxnreg_dec<136>(); }>>},
    {"fewer_by_inc", start<Case<512, Nothing, [](auto&, auto&) { setmaxnreg_inc<120>(); }>>},
    {"registers_of_a_warp",
     start<
         Case<128, Nothing, [](auto&, auto&) { thread_index() < 32 ? setmaxnreg_dec<64>() : setmaxnreg_dec<72>(); }>>},
    {"no_warpgroup", start<Case<96, Nothing, [](auto&, auto&) { setmaxnreg_dec<64>(); }>>},
    {"misaligned_atomic",
     start<
         Case<32, Nothing,
              [](auto& p, auto&) { atomic_add(reinterpret_cast<int32_t*>(reinterpret_cast<char*>(p.data) + 1), 1); }>>},
};

}  // namespace

std::span<Named const> barrier_kernels() { return kKernels; }

}  // namespace pylayers::selftest
