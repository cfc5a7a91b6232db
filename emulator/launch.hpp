// What the emulator must know of a kernel to run it, and the errors it reports.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace pylayers::emulator {

struct Kernel {
    std::string_view name;
    int threads;
    int shared_bytes;
    int cluster;
    int registers;      // of a thread, at the start
    bool asynchronous;  // it may use instructions that go on by themselves
    void (*run)(void const* params, void* shared);
};

// Runs all blocks and returns when they are done. EmulatorError for whatever a kernel must not do.
void launch(Kernel const& kernel, int64_t blocks, void const* params, int params_bytes);

struct EmulatorError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace pylayers::emulator
