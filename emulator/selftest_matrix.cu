// Tiny kernels for matrix instructions: right ones and wrong ones.
#include "emulator/selftest_kernel.hpp"
#include "kernels/core/layout.cuh"

namespace pylayers::selftest {
namespace {

// ------------------------------------------------------------------------------------------- what is right

struct Matrices {
    alignas(16) uint16_t in[4 * 64], out[4 * 64];
};

// Four matrices (8, 8) of 16 bits, each transposed.
template <bool kByLoad> struct Transpose : KernelOf<32, Matrices> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Buffer const& p, Matrices& s) {
        auto const data = reinterpret_cast<uint16_t*>(p.data);
        int const lane = thread_index();
        for (int i = lane; i < 256; i += 32) s.in[i] = data[i];
        sync_warp();
        uint32_t r[4];
        if (kByLoad) {
            ldmatrix_trans(r, s.in + lane * 8);
            stmatrix(s.out + lane * 8, r);
        } else {
            ldmatrix(r, s.in + lane * 8);
            stmatrix_trans(s.out + lane * 8, r);
        }
        sync_warp();
        for (int i = lane; i < 256; i += 32) data[i] = s.out[i];
    }
};

// d (16, 8) = a (16, 16) b (8, 16)^T in bfloat16; they follow each other in data.
struct Product : KernelOf<32> {
    static constexpr Target kTarget = Target::kSm80;
    DEVICE static void run(Buffer const& p, Shared&) {
        auto const a = reinterpret_cast<char const*>(p.data), b = a + 16 * 32;
        float d[4] = {};
        uint32_t fragment_a[4], fragment_b[2];
        for (int r = 0; r < 4; ++r) {
            layout::Position const at = layout::mma_a(thread_index(), r);
            fragment_a[r] = *reinterpret_cast<uint32_t const*>(a + at.row * 32 + at.column);
        }
        for (int r = 0; r < 2; ++r) {
            layout::Position const at = layout::mma_b(thread_index(), r);
            fragment_b[r] = *reinterpret_cast<uint32_t const*>(b + at.column * 32 + at.row);
        }
        mma<bf16>(d, fragment_a, fragment_b);
        for (int i = 0; i < 4; ++i) {
            layout::Position const at = layout::mma_d(thread_index(), i);
            p.data[128 + 64 + at.row * 8 + at.column] = d[i];
        }
    }
};

// a (64, 64) and b (32, 64) of bfloat16, swizzled.
struct Operands {
    alignas(1024) unsigned char a[64 * 128], b[32 * 128];
};
constexpr int kA = 64 * 32, kB = 32 * 32;  // floats

DEVICE void copy(unsigned char* to, float const* from, int bytes, int threads) {
    for (int i = thread_index() * 4; i < bytes; i += threads * 4)
        *reinterpret_cast<float*>(to + layout::swizzled<layout::Swizzle::k128>(i)) = from[i / 4];
}

DEVICE uint64_t descriptor(unsigned char const* tile, int k) {
    return layout::matrix_descriptor<layout::Swizzle::k128>(shared_address(tile) + k * 32, 0, 1024);
}

// d (64, 32) = a (64, 64) b (32, 64)^T; they follow each other in data.
template <bool kRegisters> struct WarpgroupProduct : KernelOf<128, Operands> {
    static constexpr Target kTarget = Target::kSm90a;
    DEVICE static void run(Buffer const& p, Operands& s) {
        copy(s.a, p.data, sizeof s.a, 128);
        copy(s.b, p.data + kA, sizeof s.b, 128);
        fence_proxy_async();
        sync_block();
        float d[16] = {};
        uint32_t a[4][4];
        for (int k = 0; k < 4 && kRegisters; ++k)
            for (int r = 0; r < 4; ++r) {
                layout::Position const at = layout::mma_a(thread_index() % 32, r);
                int const row = thread_index() / 32 * 16 + at.row;
                a[k][r] = *reinterpret_cast<uint32_t const*>(
                    s.a + layout::swizzled<layout::Swizzle::k128>(row * 128 + k * 32 + at.column));
            }
        wgmma_fence();
        for (int k = 0; k < 4; ++k) {
            if (kRegisters)
                wgmma<bf16, bf16, 32>(d, a[k], descriptor(s.b, k), true);
            else
                wgmma<bf16, bf16, 32>(d, descriptor(s.a, k), descriptor(s.b, k), k > 0);
            wgmma_commit();
        }
        wgmma_wait<2>();
        wgmma_wait<0>();
        for (int i = 0; i < 16; ++i) {
            layout::Position const at = layout::wgmma_d(thread_index(), i);
            p.data[kA + kB + at.row * 32 + at.column] = d[i];
        }
    }
};

// ------------------------------------------------------------------------------------------- what is wrong

// Ones; the threads that write fence, unless they are told not to.
DEVICE void fill(Operands& s, bool fence = true) {
    for (int i = thread_index(); i < int(sizeof s / 4); i += 128) reinterpret_cast<uint32_t*>(s.a)[i] = 0x3f803f80;
    if (fence) fence_proxy_async();
    sync_block();
}

using D = float (&)[16];
DEVICE void multiply(Operands& s, D d, int k = 0) {
    wgmma<bf16, bf16, 32>(d, descriptor(s.a, k), descriptor(s.b, k), true);
}
DEVICE void finish() {
    wgmma_commit();
    wgmma_wait<0>();
}

// Ones in shared memory, then the lambda, then what became of d.
template <auto kBody, int kThreadCount = 128>
constexpr auto with_ones = start<Case<kThreadCount, Operands, [](auto& p, Operands& s) {
    float d[16] = {};
    fill(s);
    kBody(s, d);
    p.data[thread_index()] = d[thread_index() % 16];
}>>;

// Each of the wrong ones does what its name says.

constexpr Named kKernels[] = {
    {"transpose_by_load", start<Transpose<true>>},
    {"transpose_by_store", start<Transpose<false>>},
    {"product", start<Product>},
    {"warpgroup_product", start<WarpgroupProduct<false>>},
    {"warpgroup_product_of_registers", start<WarpgroupProduct<true>>},
    {"ldmatrix_misaligned", start<Case<32, Matrices,
                                       [](auto&, Matrices& s) {
                                           uint32_t r[4];
                                           ldmatrix(r, s.in + 4);
                                       }>>},
    {"ldmatrix_elsewhere", start<Case<32, Matrices,
                                      [](auto& p, auto&) {
                                          uint32_t r[4];
                                          ldmatrix(r, p.data);
                                      }>>},
    {"no_registers_fence", with_ones<[](Operands& s, D d) {
         multiply(s, d);
         finish();
     }>},
    {"written_after_fence", with_ones<[](Operands& s, D d) {
         for (int i = 0; i < 2; ++i) {
             wgmma_fence();
             d[7] += float(i);
             multiply(s, d);
             finish();
         }
     }>},
    {"accumulators_written", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         d[7] = 1;
         finish();
     }>},
    {"accumulators_read", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         float const x = d[0];
         finish();
         d[0] = x;
     }>},
    {"a_registers_written", with_ones<[](Operands& s, D d) {
         uint32_t a[4] = {};
         wgmma_fence();
         wgmma<bf16, bf16, 32>(d, a, descriptor(s.b, 0), true);
         a[2] = 1;
         finish();
     }>},
    {"operands_written", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         s.b[0] = 1;
         finish();
     }>},
    {"operands_published", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         s.b[thread_index()] = 1;
         fence_proxy_async();
         sync_block();
         finish();
     }>},
    {"operands_unfenced", start<Case<128, Operands,
                                     [](auto& p, Operands& s) {
                                         float d[16] = {};
                                         fill(s, false);
                                         wgmma_fence();
                                         multiply(s, d);
                                         finish();
                                         p.data[thread_index()] = d[0];
                                     }>>},
    {"operands_elsewhere", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         wgmma<bf16, bf16, 32>(d, descriptor(s.a, 0), descriptor(s.b, 0) + (1024 >> 4), true);
         finish();
     }>},
    {"lanes_differ", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d, thread_index() % 2);
         finish();
     }>},
    {"warps_differ", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d, thread_index() / 32 % 2);
         finish();
     }>},
    {"warp_missing", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         if (thread_index() >= 32) multiply(s, d);
         finish();
     }>},
    {"half_a_warpgroup", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         finish();
     },
                                   64>},
    {"divergent_wgmma", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         if (thread_index() % 32 < 16) multiply(s, d);
         finish();
     }>},
    {"uncommitted", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         wgmma_wait<0>();
     }>},
    {"unwaited", with_ones<[](Operands& s, D d) {
         wgmma_fence();
         multiply(s, d);
         wgmma_commit();
     }>},
};

}  // namespace

std::span<Named const> matrix_kernels() { return kKernels; }

}  // namespace pylayers::selftest
