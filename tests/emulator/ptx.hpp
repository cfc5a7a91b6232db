// The names of kernels/core/ptx.cuh for g++: what each instruction means on the emulator.
#pragma once
#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

// As nvcc does: always inline, so that accumulators indexed by constants become registers.
#define HOST_DEVICE [[gnu::always_inline]] inline
#define DEVICE [[gnu::always_inline]] inline
// Four: complete unrolling takes g++ six times as long and runs no faster.
#define UNROLL _Pragma("GCC unroll 4")

namespace pylayers {
// Which of the planted bugs of tests/mutants.py acts; 0: none.
extern int active_mutant;
}  // namespace pylayers

namespace pylayers::ptx {

// Where a kernel calls a primitive.
using Where = std::source_location;

struct bf16 {
    uint16_t bits;
};
struct fp16 {
    uint16_t bits;
};

// ------------------------------------------------------------------------------------------------ target

constexpr bool compiled_for(Target) { return true; }

[[noreturn]] void trap(Where where = Where::current());

// ------------------------------------------------------------------------------------------------ thread

int thread_index();
int64_t block_index();
int64_t block_count();

// --------------------------------------------------------------------------------------------- conversion

inline float to_float(float x) { return x; }
float to_float(bf16 x);
float to_float(fp16 x);

// Rounds to nearest, ties to even; a NaN stays a NaN.
template <class T> T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
template <> bf16 from_float<bf16>(float x);
template <> fp16 from_float<fp16>(float x);

// ------------------------------------------------------------------------------------- barriers, shuffles

void sync_block(Where where = Where::current());
void sync_warp(Where where = Where::current());

namespace detail {
// Hands `value` to the warp and writes to `result` what lane `source` handed over.
void exchange(char const* instruction, void const* value, void* result, int bytes, int source, Where const& where);
int lane();
}  // namespace detail

template <class T> T shuffle_xor(T value, int lanes, Where where = Where::current()) {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    T result;
    detail::exchange("shuffle_xor", &value, &result, sizeof(T), detail::lane() ^ lanes, where);
    return result;
}

template <class T> T shuffle(T value, int source, Where where = Where::current()) {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    T result;
    detail::exchange("shuffle", &value, &result, sizeof(T), source, where);
    return result;
}

// ------------------------------------------------------------------------------------------------ atomics

uint32_t atomic_increment(uint32_t* counter, uint32_t limit, Where where = Where::current());
void fence_device(Where where = Where::current());

}  // namespace pylayers::ptx
