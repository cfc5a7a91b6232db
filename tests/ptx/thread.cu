// Kernels of the instructions that every chip has: conversions, barriers, shuffles, atomics.
#include "ptx/kernel.hpp"

namespace pylayers::instruction {
using namespace ptx;
namespace {

// out[i] = thread, block, blocks of thread i
struct Indices : Instruction<64> {
    DEVICE static void run(Params const& p, Shared&) {
        int const t = thread_index();
        int32_t* const out = p.out_as<int32_t>() + (block_index() * 64 + t) * 3;
        out[0] = t;
        out[1] = int32_t(block_index());
        out[2] = int32_t(block_count());
    }
};

// out[i] = change(in[i]) for n[0] numbers
template <class From, class To, To (*kChange)(From)> struct Convert : Instruction<128> {
    DEVICE static void run(Params const& p, Shared&) {
        for (int i = thread_index(); i < p.n[0]; i += 128) p.out_as<To>()[i] = kChange(p.in_as<From>()[i]);
    }
};
template <class T> DEVICE float widened(T x) { return to_float(x); }
template <class T> DEVICE T rounded(float x) { return from_float<T>(x); }
DEVICE uint32_t rounded_to_tf32(float x) { return round_to_tf32(x); }
DEVICE uint32_t bits_there_and_back(float x) { return float_bits(float_from_bits(float_bits(x))); }

// out[i] = in[2 i] and in[2 i + 1] in one word
template <class T> struct Pack : Instruction<128> {
    DEVICE static void run(Params const& p, Shared&) {
        for (int i = thread_index(); i < p.n[0]; i += 128)
            p.out_as<uint32_t>()[i] = pack<T>(p.in_as<float>()[2 * i], p.in_as<float>()[2 * i + 1]);
    }
};

// out[t] = in[t ^ n[0]], out[t] = in[n[0]] within a warp
template <class T> struct ShuffleXor : Instruction<64> {
    DEVICE static void run(Params const& p, Shared&) {
        p.out_as<T>()[thread_index()] = shuffle_xor(p.in_as<T>()[thread_index()], p.n[0]);
    }
};
template <class T> struct Shuffle : Instruction<64> {
    DEVICE static void run(Params const& p, Shared&) {
        p.out_as<T>()[thread_index()] = shuffle(p.in_as<T>()[thread_index()], p.n[0]);
    }
};

struct Ballot : Instruction<64> {
    DEVICE static void run(Params const& p, Shared&) {
        p.out_as<uint32_t>()[thread_index()] = ballot(p.in_as<int32_t>()[thread_index()] != 0);
    }
};

// out[t] = in[255 - t] of the block, or in[t ^ 31] of the warp, by way of shared memory
struct SyncBlock : Instruction<256, 1024> {
    DEVICE static void run(Params const& p, Shared& s) {
        auto const row = reinterpret_cast<uint32_t*>(s.bytes);
        row[thread_index()] = p.in_as<uint32_t>()[thread_index()];
        sync_block();
        p.out_as<uint32_t>()[thread_index()] = row[255 - thread_index()];
    }
};
struct SyncWarp : Instruction<256, 1024> {
    DEVICE static void run(Params const& p, Shared& s) {
        auto const row = reinterpret_cast<uint32_t*>(s.bytes);
        row[thread_index()] = p.in_as<uint32_t>()[thread_index()];
        sync_warp();
        p.out_as<uint32_t>()[thread_index()] = row[thread_index() ^ 31];
    }
};

// The first two warps write and arrive, the last two wait and read what those wrote; warp 4 takes no part.
struct NamedBarrier : Instruction<160, 1024> {
    DEVICE static void run(Params const& p, Shared& s) {
        auto const row = reinterpret_cast<uint32_t*>(s.bytes);
        int const t = thread_index();
        if (t < 64) {
            row[t] = p.in_as<uint32_t>()[t];
            barrier_arrive(3, 128);
        } else if (t < 128) {
            barrier_sync(3, 128);
            p.out_as<uint32_t>()[t - 64] = row[127 - t];
        }
    }
};

// out[0] = n[0] + in[0] + in[1] + ...; out[1 + t] = what was there before, in some order. In shared memory the same.
template <class T, bool kShared, T (*kAtomic)(T*, T)> struct Atomic : Instruction<128, 128> {
    DEVICE static void run(Params const& p, Shared& s) {
        T* const total = kShared ? reinterpret_cast<T*>(s.bytes) : p.out_as<T>();
        if (thread_index() == 0) *total = T(p.n[0]);
        sync_block();
        p.out_as<T>()[1 + thread_index()] = kAtomic(total, p.in_as<T>()[thread_index()]);
        sync_block();
        if (thread_index() == 0) p.out_as<T>()[0] = *total;
    }
};
template <class T> DEVICE T add(T* address, T value) { return atomic_add(address, value); }
template <class T> DEVICE T max(T* address, T value) { return atomic_max(address, value); }
DEVICE uint32_t increment(uint32_t* counter, uint32_t limit) { return atomic_increment(counter, limit); }

// Warp 0 writes in to out and raises the flag behind it; warp 1 waits for it and writes out once more, reversed.
struct Flag : Instruction<64> {
    DEVICE static void run(Params const& p, Shared&) {
        uint32_t* const out = p.out_as<uint32_t>();
        int const t = thread_index();
        if (t < 32) {
            out[t] = p.in_as<uint32_t>()[t];
            fence_device();
            sync_warp();
            if (t == 0) store_release(out + 64, 7);
        } else {
            wait_flag(out + 64, 7);
            out[t] = out[63 - t];
        }
    }
};

}  // namespace

void add_thread_kernels(Kernels& k) {
    k["indices"] = start<Indices>;
    k["to_float_bf16"] = start<Convert<bf16, float, widened<bf16>>>;
    k["to_float_fp16"] = start<Convert<fp16, float, widened<fp16>>>;
    k["to_float_e4m3"] = start<Convert<e4m3, float, widened<e4m3>>>;
    k["to_float_e5m2"] = start<Convert<e5m2, float, widened<e5m2>>>;
    k["to_float_int32"] = start<Convert<int32_t, float, widened<int32_t>>>;
    k["from_float_bf16"] = start<Convert<float, bf16, rounded<bf16>>>;
    k["from_float_fp16"] = start<Convert<float, fp16, rounded<fp16>>>;
    k["from_float_e4m3"] = start<Convert<float, e4m3, rounded<e4m3>>>;
    k["from_float_e5m2"] = start<Convert<float, e5m2, rounded<e5m2>>>;
    k["round_to_tf32"] = start<Convert<float, uint32_t, rounded_to_tf32>>;
    k["float_bits"] = start<Convert<float, uint32_t, bits_there_and_back>>;
    k["pack_bf16"] = start<Pack<bf16>>;
    k["pack_fp16"] = start<Pack<fp16>>;
    k["shuffle_xor"] = start<ShuffleXor<uint32_t>>;
    k["shuffle_xor_64"] = start<ShuffleXor<unsigned long long>>;
    k["shuffle"] = start<Shuffle<float>>;
    k["ballot"] = start<Ballot>;
    k["sync_block"] = start<SyncBlock>;
    k["sync_warp"] = start<SyncWarp>;
    k["named_barrier"] = start<NamedBarrier>;
    k["atomic_add_float"] = start<Atomic<float, false, add<float>>>;
    k["atomic_add_float_shared"] = start<Atomic<float, true, add<float>>>;
    k["atomic_add_int32"] = start<Atomic<int32_t, false, add<int32_t>>>;
    k["atomic_add_uint32_shared"] = start<Atomic<uint32_t, true, add<uint32_t>>>;
    k["atomic_max_int32"] = start<Atomic<int32_t, false, max<int32_t>>>;
    k["atomic_max_uint32_shared"] = start<Atomic<uint32_t, true, max<uint32_t>>>;
    k["atomic_increment"] = start<Atomic<uint32_t, false, increment>>;
    k["flag"] = start<Flag>;
}

}  // namespace pylayers::instruction
