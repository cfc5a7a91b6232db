// The door to the emulator's own test kernels.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pylayers::selftest {

// Runs the named kernel on `data` (n floats).
void run(std::string const& name, float* data, int n, int64_t blocks);

// Those that need more than barriers of the block.
std::vector<std::string> asynchronous_kernels();

}  // namespace pylayers::selftest
