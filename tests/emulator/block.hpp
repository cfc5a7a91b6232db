// The threads of the blocks that are resident together, what they meet at, and the one that runs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "emulator/fiber.hpp"
#include "emulator/launch.hpp"
#include "emulator/memory.hpp"
#include "emulator/race.hpp"
#include "emulator/schedule.hpp"
#include "emulator/site.hpp"

namespace pylayers::emulator {

constexpr int kLanes = 32;
constexpr int kMaxThreads = 1024;

struct Block;

struct Thread {
    Fiber fiber;
    Block* block = nullptr;
    int index = 0;  // in the block
    bool done = false;
    Site const* site = nullptr;  // where it waits, or waited last
    race::View view;
};

// Where threads meet: none goes on before all have arrived.
struct Gate {
    Site const* site = nullptr;  // of those that wait
    int arrived = 0;
    int left = 0;  // how many threads have left the kernel and can never arrive
};

struct Warp {
    Gate gate;
    int turn = 0;
    // What the lanes hand over; two, since the last lane may run on into the next exchange before the others have read.
    alignas(8) std::byte values[2][kLanes][8];
};

struct Block {
    int64_t index = 0;
    int first_warp = 0;  // in the group
    Gate gate;
    std::vector<Warp> warps;
    std::span<Thread> threads;

    Warp& warp_of(Thread const& t) { return warps[t.index / kLanes]; }
    std::span<Thread> lanes_of(Thread const& t) {
        std::size_t const first = t.index / kLanes * kLanes;
        return threads.subspan(first, std::min<std::size_t>(kLanes, threads.size() - first));
    }
};

// The blocks resident together: one. Each runs to its end before the next begins.
class Group {
  public:
    Group(Kernel const& kernel, int64_t blocks, void const* params, Schedule const& schedule);
    ~Group();

    void run(int64_t block);

    // For the thread that runs.
    void give_way();
    void wait();
    void wake(std::span<Thread> threads);
    [[noreturn]] void fail(std::string const& what);

    int64_t block_count() const { return blocks_; }
    SharedMemory const& shared() const { return shared_; }

  private:
    static void run_thread();
    [[noreturn]] void report(Thread const& thread) const;
    void start(int64_t block);
    void resume(Thread& thread);
    void finish(Thread& thread);
    void leave(Gate& gate, std::string const& group);
    std::string place(Thread const& thread) const;
    std::string describe(Fault const& fault, Thread const& thread) const;
    std::string deadlock() const;

    Kernel kernel_;
    int64_t blocks_;
    void const* params_;
    Schedule schedule_;
    SharedMemory shared_;
    Block block_;
    std::vector<Thread> threads_;
    std::vector<uint32_t> ready_;  // the lanes of each warp that can run
    std::string failure_;
};

extern Thread* current;  // the thread that runs; null outside kernels
extern Group* group;     // its blocks
extern bool stopped;     // it has failed: `failure_` or a fault says how

struct Statistics {
    int64_t launches = 0, blocks = 0, switches = 0, barriers = 0, exchanges = 0;
};
extern Statistics statistics;

}  // namespace pylayers::emulator
