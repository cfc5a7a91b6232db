// The whole vocabulary that kernels speak: one small function per instruction, grouped as the PTX manual groups them.
//
// This file holds the only asm, intrinsics, __CUDACC__ and target macros of the project. On a GPU each name is its
// instruction; compiled by g++ the same names are given a body by the emulator (tests/emulator/ptx.hpp).
#pragma once
#include <cstdint>

namespace pylayers::ptx {

// What a kernel needs of the chip it is compiled for.
enum class Target { kAny, kSm80, kSm90a };

constexpr int kWarp = 32;
constexpr uint32_t kFullWarp = 0xffffffffu;

}  // namespace pylayers::ptx

#if !defined(__CUDACC__)
#include "emulator/ptx.hpp"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define HOST_DEVICE __host__ __device__ __forceinline__
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")

namespace pylayers::ptx {

using bf16 = __nv_bfloat16;
using fp16 = __half;

// ------------------------------------------------------------------------------------------------ target

// Whether this pass of the compiler may contain instructions of `target`.
DEVICE constexpr bool compiled_for(Target target) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    return true;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return target != Target::kSm90a;
#else
    return target == Target::kAny;
#endif
}

DEVICE void trap() { asm volatile("trap;"); }

// ------------------------------------------------------------------------------------------------ thread

DEVICE int thread_index() { return int(threadIdx.x); }
DEVICE int64_t block_index() { return blockIdx.x; }
DEVICE int64_t block_count() { return gridDim.x; }

// --------------------------------------------------------------------------------------------- conversion

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __bfloat162float(x); }
DEVICE float to_float(fp16 x) { return __half2float(x); }

// Rounds to nearest, ties to even.
template <class T> DEVICE T from_float(float x);
template <> DEVICE float from_float<float>(float x) { return x; }
template <> DEVICE bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> DEVICE fp16 from_float<fp16>(float x) { return __float2half_rn(x); }

// ------------------------------------------------------------------------------------------ shared memory

template <class Storage> DEVICE Storage& shared_storage() {
    extern __shared__ __align__(1024) unsigned char shared_bytes[];
    return *reinterpret_cast<Storage*>(shared_bytes);
}

// ------------------------------------------------------------------------------------- barriers, shuffles

// Every thread of the block; orders its memory accesses.
DEVICE void sync_block() { __syncthreads(); }

// Every lane of the warp; orders its memory accesses.
DEVICE void sync_warp() { __syncwarp(kFullWarp); }

// The value of the lane whose number differs by `lanes` in its bits. Does not order memory.
template <class T> DEVICE T shuffle_xor(T value, int lanes) { return __shfl_xor_sync(kFullWarp, value, lanes); }

// The value of lane `source`. Does not order memory.
template <class T> DEVICE T shuffle(T value, int source) { return __shfl_sync(kFullWarp, value, source); }

// ------------------------------------------------------------------------------------------------ atomics

// Adds 1, or sets 0 where the value was `limit`; returns the old value.
DEVICE uint32_t atomic_increment(uint32_t* counter, uint32_t limit) { return atomicInc(counter, limit); }

// Orders this thread's memory accesses before and after it for every thread of the device.
DEVICE void fence_device() { __threadfence(); }

}  // namespace pylayers::ptx
#endif
