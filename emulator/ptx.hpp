// The names of kernels/core/ptx.cuh for g++: what each instruction means on the emulator.
#pragma once
#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

// Not always_inline as for nvcc: g++ takes two to five times as long over such functions, which run no faster.
#define HOST_DEVICE inline
#define DEVICE inline
// Four: complete unrolling takes g++ six times as long and runs no faster.
#define UNROLL _Pragma("GCC unroll 4")
#define ROLLED

namespace pylayers {
// Which of the planted bugs of tests/support/mutants.py acts; 0: none.
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
