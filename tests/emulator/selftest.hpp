// The door to the emulator's own test kernels.
#pragma once
#include <cstdint>
#include <string>

namespace pylayers::selftest {

// Runs the named kernel on `data` (n floats).
void run(std::string const& name, float* data, int n, int64_t blocks);

}  // namespace pylayers::selftest
