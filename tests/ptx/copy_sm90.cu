// Kernels of mbarriers, TMA and bulk copies.
#include "ptx/kernel.hpp"

namespace pylayers::instruction {
using namespace ptx;
namespace {

constexpr int kTile = 128 * 1024;

// Gives `run` a barrier of one arrival, waits for `bytes` through it, and copies what came to out.
template <class Load> DEVICE void load(Arguments const& p, Memory<kTile>& s, int bytes, Load load) {
    if (thread_index() == 0) {
        mbarrier_init(&s.barrier, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect_tx(&s.barrier, bytes);
        load();
    }
    sync_block();
    mbarrier_wait(&s.barrier, 0);
    copy<32>(p.out, s.bytes, bytes);
}

template <int Rank> DEVICE void coordinates(Arguments const& p, int32_t (&at)[Rank]) {
    UNROLL
    for (int i = 0; i < Rank; ++i) at[i] = p.n[1 + i];
}

// out = the box of n[0] bytes at n[1 .. Rank]
template <int Rank> struct TmaLoad : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        int32_t at[Rank];
        coordinates(p, at);
        load(p, s, p.n[0], [&] {
            tma_prefetch(&p.map);
            tma_load<Rank>(s.bytes, &p.map, &s.barrier, at);
        });
    }
};

// out = the pixels of n[0] bytes from n[1 .. Rank] on for tap n[6 .. 4 + Rank - 1]
template <int Rank> struct TmaLoadIm2col : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        int32_t at[Rank];
        coordinates(p, at);
        uint16_t tap[Rank - 2];
        UNROLL
        for (int i = 0; i < Rank - 2; ++i) tap[i] = uint16_t(p.n[6 + i]);
        load(p, s, p.n[0], [&] { tma_load_im2col<Rank>(s.bytes, &p.map, &s.barrier, at, tap); });
    }
};

// The box at n[1 .. Rank] of out's tensor takes, or is combined with, n[0] bytes of in.
template <int Rank, TmaStore kHow> struct TmaStoreBox : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        int32_t at[Rank];
        coordinates(p, at);
        copy<32>(s.bytes, p.in, p.n[0]);
        fence_proxy_async();
        sync_warp();
        if (thread_index() == 0) {
            tma_store<Rank, kHow>(&p.map, s.bytes, at);
            tma_commit();
            tma_wait_read<0>();
            tma_wait<0>();
        }
    }
};

// out = n[0] bytes of in, by way of shared memory
struct BulkLoad : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        load(p, s, p.n[0], [&] { bulk_load(s.bytes, p.in, p.n[0], &s.barrier); });
    }
};
struct BulkStore : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        copy<32>(s.bytes, p.in, p.n[0]);
        fence_proxy_async();
        sync_warp();
        if (thread_index() == 0) {
            bulk_store(p.out, s.bytes, p.n[0]);
            tma_commit();
            tma_wait<0>();
        }
    }
};

// Two phases of 64 arrivals. out: whether each parity is over before, between and after (3, 2), then in + 1 + 2.
struct MbarrierPhases : Instruction<64, 512, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        auto const row = reinterpret_cast<uint32_t*>(s.bytes);
        uint32_t* const out = p.out_as<uint32_t>();
        int const t = thread_index();
        if (t == 0) {
            mbarrier_init(&s.barrier, 64);
            fence_mbarrier_init();
        }
        sync_block();
        uint32_t x = p.in_as<uint32_t>()[t];
        for (int phase = 0; phase < 2; ++phase) {
            if (t == 0) note(s, out + phase * 2);
            row[phase * 64 + t] = x;
            sync_block();
            mbarrier_arrive(&s.barrier);
            mbarrier_wait(&s.barrier, phase);
            x = row[phase * 64 + 63 - t] + 1 + phase;
        }
        sync_block();
        if (t == 0) note(s, out + 4);
        out[6 + t] = x;
    }
    DEVICE static void note(Shared& s, uint32_t* out) {
        out[0] = mbarrier_test(&s.barrier, 0);
        out[1] = mbarrier_test(&s.barrier, 1);
    }
};

// out = in (64, 16 bytes): cp.async whose completion is what the barrier waits for.
struct CpAsyncMbarrier : Instruction<64, 1024, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        if (t == 0) {
            mbarrier_init(&s.barrier, 64);
            fence_mbarrier_init();
        }
        sync_block();
        cp_async<16>(s.bytes + t * 16, p.in + t * 16);
        cp_async_mbarrier_arrive(&s.barrier);
        mbarrier_wait(&s.barrier, 0);
        copy<64>(p.out, s.bytes, 1024);
    }
};

// out = two copies of n[0] bytes in one phase: bytes expected apart from the arrival.
struct ExpectTx : Instruction<32, kTile, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const half = p.n[0];
        if (thread_index() == 0) {
            mbarrier_init(&s.barrier, 1);
            fence_mbarrier_init();
            mbarrier_expect_tx(&s.barrier, half);
            bulk_load(s.bytes, p.in, half, &s.barrier);
            mbarrier_expect_tx(&s.barrier, half);
            bulk_load(s.bytes + half, p.in + half, half, &s.barrier);
            mbarrier_arrive(&s.barrier);
        }
        sync_block();
        mbarrier_wait(&s.barrier, 0);
        copy<32>(p.out, s.bytes, 2 * half);
    }
};

// out[t] = whether lane t was elected
struct ElectOne : Instruction<64, 0, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared&) { p.out_as<uint32_t>()[thread_index()] = elect_one(); }
};

// out[t] = in[t] + 1, one warpgroup having given registers to the other two
struct Setmaxnreg : Instruction<384, 0, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() < 128)
            setmaxnreg_dec<40>();
        else
            setmaxnreg_inc<232>();
        p.out_as<uint32_t>()[thread_index()] = p.in_as<uint32_t>()[thread_index()] + 1;
    }
};

struct Griddepcontrol : Instruction<32, 0, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared&) {
        griddepcontrol_launch_dependents();
        griddepcontrol_wait();
        p.out_as<uint32_t>()[thread_index()] = p.in_as<uint32_t>()[thread_index()] + 1;
    }
};

}  // namespace

void add_copy_kernels(Kernels& k) {
    k["tma_load_2"] = start<TmaLoad<2>>;
    k["tma_load_3"] = start<TmaLoad<3>>;
    k["tma_load_4"] = start<TmaLoad<4>>;
    k["tma_load_5"] = start<TmaLoad<5>>;
    k["tma_load_im2col_3"] = start<TmaLoadIm2col<3>>;
    k["tma_load_im2col_4"] = start<TmaLoadIm2col<4>>;
    k["tma_load_im2col_5"] = start<TmaLoadIm2col<5>>;
    k["tma_store_2"] = start<TmaStoreBox<2, TmaStore::kWrite>>;
    k["tma_store_3"] = start<TmaStoreBox<3, TmaStore::kWrite>>;
    k["tma_store_4"] = start<TmaStoreBox<4, TmaStore::kWrite>>;
    k["tma_store_5"] = start<TmaStoreBox<5, TmaStore::kWrite>>;
    k["tma_add"] = start<TmaStoreBox<2, TmaStore::kAdd>>;
    k["tma_min"] = start<TmaStoreBox<2, TmaStore::kMin>>;
    k["tma_max"] = start<TmaStoreBox<2, TmaStore::kMax>>;
    k["bulk_load"] = start<BulkLoad>;
    k["bulk_store"] = start<BulkStore>;
    k["mbarrier_phases"] = start<MbarrierPhases>;
    k["cp_async_mbarrier"] = start<CpAsyncMbarrier>;
    k["expect_tx"] = start<ExpectTx>;
    k["elect_one"] = start<ElectOne>;
    k["setmaxnreg"] = start<Setmaxnreg>;
    k["griddepcontrol"] = start<Griddepcontrol>;
}

}  // namespace pylayers::instruction
