// The whole vocabulary that kernels speak: one small function per instruction, grouped as the PTX manual groups them.
//
// This file and kernels/core/ptx/ hold the only asm, intrinsics, __CUDACC__ and target macros of the project. On a GPU
// each name is its instruction; compiled by g++ the same names are given a body by the emulator
// (emulator/ptx.hpp).
#pragma once
#include <cstdint>
#include <type_traits>

namespace pylayers::ptx {

// What a kernel needs of the chip it is compiled for.
enum class Target { kAny, kSm80, kSm90a };

constexpr int kWarp = 32;
constexpr int kWarpgroup = 128;
constexpr uint32_t kFullWarp = 0xffffffffu;

// Along which dimension the elements of an operand are neighbours in memory.
enum class Major { kK, kMn };

// A float whose 13 lowest bits the tensor cores ignore; it lives in a float's memory.
struct tf32 {
    uint32_t bits;
};

// What products of T add up to in a tensor core.
template <class T> using Accumulator = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;

// The k of one mma or wgmma: 32 bytes.
template <class T> constexpr int kInstructionK = 32 / int(sizeof(T));

// How a store by TMA combines with what the tensor holds.
enum class TmaStore { kWrite, kAdd, kMin, kMax };

// In shared memory, at a multiple of 8 bytes; only instructions touch it.
struct Mbarrier {
    uint64_t state;
};

}  // namespace pylayers::ptx

#if !defined(__CUDACC__)
#include "emulator/ptx.hpp"
#else

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define HOST_DEVICE __host__ __device__ __forceinline__
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")

namespace pylayers::ptx {

using bf16 = __nv_bfloat16;
using fp16 = __half;
using e4m3 = __nv_fp8_e4m3;
using e5m2 = __nv_fp8_e5m2;
using TensorMap = CUtensorMap;

}  // namespace pylayers::ptx

#include "kernels/core/ptx/thread.cuh"

#include "kernels/core/ptx/copy.cuh"
#include "kernels/core/ptx/mma.cuh"
#endif
