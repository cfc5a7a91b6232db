// Kernels of the instructions of sm_80: ldmatrix, mma, cp.async.
#include "ptx/kernel.hpp"

namespace pylayers::instruction {
using namespace ptx;
namespace {

// out[lane] = the four registers of the lane, which gives the address of row n[0] * lane % 32 of in (32, 16 bytes)
template <bool kTransposed> struct Ldmatrix : Instruction<32, 512, Target::kSm80> {
    DEVICE static void run(Params const& p, Shared& s) {
        copy<32>(s.bytes, p.in, 512);
        sync_warp();
        uint32_t d[4];
        std::byte const* const row = s.bytes + thread_index() * p.n[0] % 32 * 16;
        if constexpr (kTransposed)
            ldmatrix_trans(d, row);
        else
            ldmatrix(d, row);
        UNROLL
        for (int r = 0; r < 4; ++r) p.out_as<uint32_t>()[thread_index() * 4 + r] = d[r];
    }
};

// in: the lanes' four registers of A, two of B, four of D; out: four of D
template <class T> struct Mma : Instruction<32, 0, Target::kSm80> {
    DEVICE static void run(Params const& p, Shared&) {
        using D = Accumulator<T>;
        int const lane = thread_index();
        uint32_t a[4], b[2];
        D d[4];
        UNROLL
        for (int i = 0; i < 4; ++i) a[i] = p.in_as<uint32_t>()[lane * 4 + i];
        UNROLL
        for (int i = 0; i < 2; ++i) b[i] = p.in_as<uint32_t>()[128 + lane * 2 + i];
        UNROLL
        for (int i = 0; i < 4; ++i) d[i] = p.in_as<D>()[192 + lane * 4 + i];
        mma<T>(d, a, b);
        UNROLL
        for (int i = 0; i < 4; ++i) p.out_as<D>()[lane * 4 + i] = d[i];
    }
};

// Each of the 32 lanes copies kBytes of in, of which the source has n[0], over bytes that were 0x55.
template <int kBytes> struct CpAsync : Instruction<32, 512, Target::kSm80> {
    DEVICE static void run(Params const& p, Shared& s) {
        for (int i = thread_index(); i < 128; i += 32) reinterpret_cast<uint32_t*>(s.bytes)[i] = 0x55555555;
        sync_warp();
        int const offset = thread_index() * kBytes;
        if (p.n[0] == kBytes)
            cp_async<kBytes>(s.bytes + offset, p.in + offset);
        else
            cp_async<kBytes>(s.bytes + offset, p.in + offset, p.n[0]);
        cp_async_commit();
        cp_async_wait<0>();
        sync_warp();
        copy<32>(p.out, s.bytes, 32 * kBytes);
    }
};

// Two groups of copies, of which the first is used while the second may be under way: out = in (2, 512 bytes)
struct CpAsyncGroups : Instruction<32, 1024, Target::kSm80> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const offset = thread_index() * 16;
        for (int group = 0; group < 2; ++group) {
            cp_async<16>(s.bytes + group * 512 + offset, p.in + group * 512 + offset);
            cp_async_commit();
        }
        cp_async_wait<1>();
        sync_warp();
        copy<32>(p.out, s.bytes, 512);
        cp_async_wait<0>();
        sync_warp();
        copy<32>(p.out + 512, s.bytes + 512, 512);
    }
};

}  // namespace

void add_matrix_kernels(Kernels& k) {
    k["ldmatrix"] = start<Ldmatrix<false>>;
    k["ldmatrix_trans"] = start<Ldmatrix<true>>;
    k["mma_bf16"] = start<Mma<bf16>>;
    k["mma_fp16"] = start<Mma<fp16>>;
    k["mma_tf32"] = start<Mma<tf32>>;
    k["mma_s8"] = start<Mma<int8_t>>;
    k["cp_async_4"] = start<CpAsync<4>>;
    k["cp_async_8"] = start<CpAsync<8>>;
    k["cp_async_16"] = start<CpAsync<16>>;
    k["cp_async_groups"] = start<CpAsyncGroups>;
}

}  // namespace pylayers::instruction
