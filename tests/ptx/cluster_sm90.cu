// Kernels of clusters: ranks, each other's shared memory, barriers of other blocks, multicast.
#include "ptx/kernel.hpp"

namespace pylayers::instruction {
using namespace ptx;
namespace {

DEVICE void cluster_sync() {
    cluster_arrive();
    cluster_wait();
}

// out[block, t] = rank, size, and what the next block of the cluster wrote to its shared memory: in of its threads.
template <int kBlocks> struct ClusterMap : Instruction<32, 128, Target::kSm90a, kBlocks> {
    using Base = Instruction<32, 128, Target::kSm90a, kBlocks>;
    DEVICE static void run(Arguments const& p, typename Base::Shared& s) {
        int const t = thread_index();
        auto const row = reinterpret_cast<uint32_t*>(s.bytes);
        row[t] = p.in_as<uint32_t>()[block_index() * 32 + t];
        cluster_sync();
        uint32_t const theirs = *cluster_map(row + t, (cluster_rank() + 1) % cluster_size());
        uint32_t* const out = p.out_as<uint32_t>() + (block_index() * 32 + t) * 3;
        out[0] = uint32_t(cluster_rank());
        out[1] = uint32_t(cluster_size());
        out[2] = theirs;
        cluster_sync();  // until then the others read
    }
};

// Block 0 waits until all blocks have written to its shared memory and arrived at its barrier: out = in.
struct ClusterArrive : Instruction<32, 512, Target::kSm90a, 4> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        if (t == 0) {
            mbarrier_init(&s.barrier, 4 * 32);
            fence_mbarrier_init();
        }
        cluster_sync();
        int const mine = cluster_rank() * 32 + t;
        *cluster_map(reinterpret_cast<uint32_t*>(s.bytes) + mine, 0) = p.in_as<uint32_t>()[mine];
        mbarrier_arrive_cluster(&s.barrier, 0);
        if (cluster_rank() == 0) {
            mbarrier_wait_cluster(&s.barrier, 0);
            copy<32>(p.out, s.bytes, 512);
        }
        cluster_sync();  // nobody arrives at a block that has left
    }
};

// Block 1 loads the box of n[0] bytes for the blocks of mask n[1]; out[block] = what each got, 0x55 before.
struct Multicast : Instruction<32, 4096, Target::kSm90a, 4> {
    DEVICE static void run(Params const& p, Shared& s) {
        bool const receives = p.n[1] >> cluster_rank() & 1;
        for (int i = thread_index(); i < 1024; i += 32) reinterpret_cast<uint32_t*>(s.bytes)[i] = 0x55555555;
        fence_proxy_async();
        if (thread_index() == 0) {
            mbarrier_init(&s.barrier, 1);
            fence_mbarrier_init();
            if (receives) mbarrier_arrive_expect_tx(&s.barrier, p.n[0]);
        }
        cluster_sync();
        if (cluster_rank() == 1 && thread_index() == 0) {
            int32_t const at[2] = {p.n[2], p.n[3]};
            tma_load_multicast<2>(s.bytes, &p.map, &s.barrier, at, uint16_t(p.n[1]));
        }
        if (receives) mbarrier_wait(&s.barrier, 0);
        copy<32>(p.out + block_index() * p.n[0], s.bytes, p.n[0]);
        cluster_sync();
    }
};

}  // namespace

void add_cluster_kernels(Kernels& k) {
    k["cluster_map_1"] = start<ClusterMap<1>>;
    k["cluster_map_2"] = start<ClusterMap<2>>;
    k["cluster_map_8"] = start<ClusterMap<8>>;
    k["cluster_arrive"] = start<ClusterArrive>;
    k["multicast"] = start<Multicast>;
}

}  // namespace pylayers::instruction
