// The kernel of one wgmma, or of several along k, of any types, majors and size.
#pragma once
#include "kernels/core/layout.cuh"
#include "ptx/kernel.hpp"

namespace pylayers::instruction {

// Where an operand's bytes lie in shared memory.
DEVICE uint64_t descriptor(int span, uint32_t address, int leading_bytes, int stride_bytes) {
    using layout::matrix_descriptor, layout::Swizzle;
    if (span == 128) return matrix_descriptor<Swizzle::k128>(address, leading_bytes, stride_bytes);
    if (span == 64) return matrix_descriptor<Swizzle::k64>(address, leading_bytes, stride_bytes);
    if (span == 32) return matrix_descriptor<Swizzle::k32>(address, leading_bytes, stride_bytes);
    return matrix_descriptor<Swizzle::kNone>(address, leading_bytes, stride_bytes);
}

// n: bytes of the operands' memory, which comes first in in; accumulate; steps along k; and of each operand where it
// begins, span, leading bytes, stride bytes, bytes from step to step, steps of a tile, bytes from tile to tile. Then in
// holds the threads' accumulators and, if kRegisters, their four registers of A. out: the threads' accumulators.
template <class A, class B, int N, bool kRegisters, ptx::Major kA, ptx::Major kB>
struct Wgmma : Instruction<128, 96 * 1024, ptx::Target::kSm90a> {
    using D = ptx::Accumulator<A>;

    DEVICE static uint64_t operand(int const* n, Shared& s, int step) {
        int const offset = n[0] + step % n[5] * n[4] + step / n[5] * n[6];
        return descriptor(n[1], ptx::shared_address(s.bytes) + uint32_t(offset), n[2], n[3]);
    }

    DEVICE static void run(Arguments const& p, Shared& s) {
        int const t = ptx::thread_index(), bytes = p.n[0];
        D const* const before = reinterpret_cast<D const*>(p.in + bytes) + t * (N / 2);
        copy<128>(s.bytes, p.in, bytes);
        ptx::fence_proxy_async();
        ptx::sync_block();
        D d[N / 2];
        UNROLL
        for (int i = 0; i < N / 2; ++i) d[i] = before[i];
        uint32_t a[4];
        UNROLL
        for (int i = 0; i < 4; ++i)
            a[i] = kRegisters ? reinterpret_cast<uint32_t const*>(p.in + bytes + 128 * (N / 2) * 4)[t * 4 + i] : 0;
        for (int step = 0; step < p.n[2]; ++step) {
            uint64_t const b = operand(p.n + 10, s, step);
            [[maybe_unused]] uint64_t const a_in_memory = operand(p.n + 3, s, step);
            bool const accumulate = p.n[1] || step > 0;
            ptx::wgmma_fence();
            if constexpr (kRegisters)
                ptx::wgmma<A, B, N, kB>(d, a, b, accumulate);
            else
                ptx::wgmma<A, B, N, kA, kB>(d, a_in_memory, b, accumulate);
        }
        ptx::wgmma_commit();
        ptx::wgmma_wait<0>();
        ptx::keep_registers(d);
        UNROLL
        for (int i = 0; i < N / 2; ++i) p.out_as<D>()[t * (N / 2) + i] = d[i];
    }
};

template <class A, class B, int N, bool kRegisters = false, ptx::Major kA = ptx::Major::kK,
          ptx::Major kB = ptx::Major::kK>
constexpr Start kWgmma = start<Wgmma<A, B, N, kRegisters, kA, kB>>;

}  // namespace pylayers::instruction
