// Kernels of wgmma by type and major, and of stmatrix.
#include "ptx/wgmma.hpp"

namespace pylayers::instruction {
using namespace ptx;
namespace {

// Each lane gives the address of row n[0] * lane % 32 of shared memory (32, 16 bytes), then out = that memory.
template <bool kTransposed> struct Stmatrix : Instruction<32, 512, Target::kSm90a> {
    DEVICE static void run(Params const& p, Shared& s) {
        uint32_t d[4];
        UNROLL
        for (int r = 0; r < 4; ++r) d[r] = p.in_as<uint32_t>()[thread_index() * 4 + r];
        std::byte* const row = s.bytes + thread_index() * p.n[0] % 32 * 16;
        if constexpr (kTransposed)
            stmatrix_trans(row, d);
        else
            stmatrix(row, d);
        sync_warp();
        copy<32>(p.out, s.bytes, 512);
    }
};

template <class A, class B> void add_types(Kernels& k, std::string const& types) {
    k["wgmma_" + types + "_64"] = kWgmma<A, B, 64>;
    k["wgmma_registers_" + types + "_64"] = kWgmma<A, B, 64, true>;
}

template <class T> void add_majors(Kernels& k, std::string const& types) {
    k["wgmma_" + types + "_64_mn_k"] = kWgmma<T, T, 64, false, Major::kMn, Major::kK>;
    k["wgmma_" + types + "_64_k_mn"] = kWgmma<T, T, 64, false, Major::kK, Major::kMn>;
    k["wgmma_" + types + "_64_mn_mn"] = kWgmma<T, T, 64, false, Major::kMn, Major::kMn>;
    k["wgmma_registers_" + types + "_64_k_mn"] = kWgmma<T, T, 64, true, Major::kK, Major::kMn>;
}

}  // namespace

void add_wgmma_kernels(Kernels& k) {
    k["stmatrix"] = start<Stmatrix<false>>;
    k["stmatrix_trans"] = start<Stmatrix<true>>;
    add_types<bf16, bf16>(k, "bf16_bf16");
    add_types<fp16, fp16>(k, "fp16_fp16");
    add_types<tf32, tf32>(k, "tf32_tf32");
    add_types<e4m3, e4m3>(k, "e4m3_e4m3");
    add_types<e4m3, e5m2>(k, "e4m3_e5m2");
    add_types<e5m2, e4m3>(k, "e5m2_e4m3");
    add_types<e5m2, e5m2>(k, "e5m2_e5m2");
    add_types<int8_t, int8_t>(k, "s8_s8");
    add_majors<bf16>(k, "bf16_bf16");
    add_majors<fp16>(k, "fp16_fp16");
}

}  // namespace pylayers::instruction
