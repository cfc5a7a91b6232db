// Happens-before by vector clocks: finds accesses that no barrier, fence or atomic orders, on whatever schedule runs.
// Present only where the kernels are compiled with -fsanitize=thread; elsewhere every function is empty.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace pylayers::emulator {
struct Thread;
}

namespace pylayers::emulator::race {

#if defined(PYLAYERS_RACE)
using Clocks = std::vector<uint32_t>;                             // the latest known time of each thread of one block
using Known = std::shared_ptr<Clocks const>;                      // shared by all who learned it together
using History = std::shared_ptr<std::map<int64_t, Known> const>;  // by block

// What one thread knows to have happened.
struct View {
    uint32_t now = 1;   // its own time; moves on with each barrier and fence
    Known block;        // of its own block
    History others;     // of the blocks before it
    History published;  // what its last fence made visible to the device
    History offered;    // what atomics returned; known after the next fence

    bool knows(uint32_t thread, uint32_t time) const { return block && (*block)[thread] >= time; }
    bool knows(int64_t other, uint32_t thread, uint32_t time) const {
        if (!others) return false;
        auto const known = others->find(other);
        return known != others->end() && (*known->second)[thread] >= time;
    }
};

void start_launch(void const* params, int params_bytes);
void start_block(std::span<Thread> threads);
// These threads have waited for each other. A fence of one of them before it counts for all: fences are cumulative.
void meet(std::span<Thread> threads);
void fence(Thread& thread);
void atomic(Thread& thread, void const* counter);
#else
struct View {};
inline void start_launch(void const*, int) {}
inline void start_block(std::span<Thread>) {}
inline void meet(std::span<Thread>) {}
inline void fence(Thread&) {}
inline void atomic(Thread&, void const*) {}
#endif

}  // namespace pylayers::emulator::race
