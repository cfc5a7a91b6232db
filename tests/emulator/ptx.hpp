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
#define ROLLED

namespace pylayers {
// Which of the planted bugs of tests/mutants.py acts; 0: none.
extern int active_mutant;
}  // namespace pylayers

namespace pylayers::ptx {

// Where a kernel calls a primitive.
using Where = std::source_location;

}  // namespace pylayers::ptx

#include "emulator/number.hpp"
#include "emulator/tensor_map.hpp"

#include "emulator/ptx/thread.hpp"

#include "emulator/ptx/copy.hpp"
#include "emulator/ptx/mma.hpp"
