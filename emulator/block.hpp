// The threads of the blocks that are resident together, what they meet at, and the one that runs.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "emulator/asynchronous.hpp"
#include "emulator/fiber.hpp"
#include "emulator/launch.hpp"
#include "emulator/memory.hpp"
#include "emulator/race.hpp"
#include "emulator/schedule.hpp"
#include "emulator/site.hpp"

namespace pylayers::emulator {

constexpr int kLanes = 32;
constexpr int kMaxThreads = 1024;
constexpr uint32_t kSharedBase = 1024;  // the address of shared memory that instructions take, as on sm_90

struct Block;
struct Cluster;
struct Multiplications;

// What every switch touches comes first, in one line of the cache.
struct alignas(64) Thread {
    Fiber fiber;
    Block* block = nullptr;
    Site const* site = nullptr;      // where it waits, or waited last
    void const* operands = nullptr;  // of the instruction for which it waits for its warp
    int index = 0;                   // in the block
    bool done = false;
    bool fenced = false;  // has fenced its writes for the asynchronous proxy, which has not seen them yet
    Thread* next_waiting = nullptr;
    race::View view;
    CopyGroups copies;
    StoreGroups stores;
};

// Where threads meet: none goes on before all have arrived.
struct Gate {
    Site const* site = nullptr;  // of those that wait
    int arrived = 0;
    int left = 0;  // how many threads have left the kernel and can never arrive
    bool fenced = false;
};

// Where a warp stands between cluster_arrive and cluster_wait.
enum class AtClusterBarrier {
    kNo,
    kToCome,   // others have not come yet
    kWaits,    // and it waits for them
    kArrived,  // all have come
};

struct Warp {
    Gate gate;
    int turn = 0;
    int registers = 0;  // of each thread
    int wanted = 0;     // by setmaxnreg, which waits for them
    AtClusterBarrier at_cluster_barrier = AtClusterBarrier::kNo;
    std::unique_ptr<Multiplications> multiplications;  // where it has used wgmma
    // What the lanes hand over; two, since the last lane may run on into the next exchange before the others have read.
    alignas(8) std::byte values[2][kLanes][8];
};

// Barrier 1 to 15 of a block.
struct NamedBarrier {
    Site const* site = nullptr;  // of the first that came
    int expected = 0, arrived = 0;
    uint32_t waiting = 0;  // warps
    bool fenced = false;
    race::Release open;
};

struct Barrier {  // an mbarrier
    uint32_t offset = 0;
    int count = 0, pending = 0;
    int64_t bytes = 0;  // still to come
    uint32_t phase = 0;
    Thread const* initialiser = nullptr;
    bool visible = false;  // to the cluster and to copies
    bool fenced = false;
    Thread* waiting = nullptr;
    Site const* site = nullptr;  // of the last that expected bytes
    race::Release open, over;    // of this phase, of the one before
};

// What the four warps of a warpgroup must do alike.
struct Warpgroup {
    struct Step {
        Site const* site;
        uint64_t a, b;
    };
    std::vector<Step> steps;
    std::size_t done[4]{};
};

struct Block {
    Block(int number, int shared_bytes);
    ~Block();

    int64_t index = 0;
    int const number;  // among the resident ones
    int rank = 0;      // in the cluster
    Cluster* cluster = nullptr;
    int first_warp = 0;  // in the group
    Gate gate;
    std::vector<Warp> warps;
    std::vector<Warpgroup> warpgroups;
    std::span<Thread> threads;
    SharedMemory shared;
    std::array<NamedBarrier, 16> named;
    std::deque<Barrier> barriers;
    int free_registers = 0;
    bool left = false;
    race::Leaving leaving;

    Warp& warp_of(Thread const& t) { return warps[t.index / kLanes]; }
    std::span<Thread> lanes_of(int warp) {
        std::size_t const first = warp * kLanes;
        return threads.subspan(first, std::min<std::size_t>(kLanes, threads.size() - first));
    }
    std::span<Thread> lanes_of(Thread const& t) { return lanes_of(t.index / kLanes); }

    // Where bytes of this block's shared memory begin in it.
    uint32_t offset_of(void const* p) const { return uint32_t(static_cast<std::byte const*>(p) - shared.data()); }
    // Shared memory as the asynchronous proxy sees it: what ordinary instructions wrote is there once it is published.
    std::byte* proxy();
    void publish();
    void forget_proxy() { proxy_used_ = false; }

  private:
    std::vector<std::byte> proxy_;
    bool proxy_used_ = false;
};

struct Cluster {
    int64_t first = 0;  // block
    std::span<std::unique_ptr<Block>> blocks;
    int alive = 0;  // threads
    int arrived = 0;
    race::Release open, over;  // of the phase of its barrier, of the one before
};

// The clusters resident together. Where one has run to its end the next begins.
class Group {
  public:
    Group(Kernel const& kernel, int64_t blocks, int resident, void const* params, Schedule const& schedule);
    ~Group();

    void run(int64_t first, int64_t last);

    // For the thread that runs.
    void give_way();
    void poll(Site const& site);  // gives way on every schedule, to ask again
    void wait();
    [[noreturn]] void fail(std::string const& what);

    void wake(std::span<Thread> threads);
    void wake(Thread& thread);

    // Something has happened for which others may poll.
    void progress() { polls_ = 0; }

    int64_t block_count() const { return block_count_; }
    Kernel const& kernel() const { return kernel_; }
    Schedule& schedule() { return schedule_; }
    // The resident block whose shared memory holds the address, or null.
    Block* holding(void const* address) const {
        if (blocks_.size() == 1) return blocks_[0]->shared.holds(address) ? blocks_[0].get() : nullptr;
        std::size_t const number = SharedMemory::number_at(address);
        return number < blocks_.size() && blocks_[number]->shared.holds(address) ? blocks_[number].get() : nullptr;
    }

    UnderWay under_way;
    Thread* flag_waiting = nullptr;  // those in wait_flag

  private:
    static void run_thread();
    [[noreturn]] void report(Thread const& thread) const;
    void start(Cluster& cluster, int64_t first);
    void start(Block& block, int64_t index);
    bool start_next(Cluster& cluster);
    void resume(Thread& thread);
    void finish(Thread& thread);
    void check_left(Thread& thread);
    void leave(Gate& gate, std::string const& group);
    void leave(Block& block);
    std::string place(Thread const& thread) const;
    std::string describe(Fault const& fault, Thread const& thread) const;
    std::string deadlock() const;
    std::string deadlock(Block const& block) const;

    Kernel kernel_;
    int64_t block_count_;
    void const* params_;
    Schedule schedule_;
    int warps_per_block_;
    int64_t next_ = 0, last_ = 0;  // blocks that have not begun
    int running_ = 0;              // clusters
    Cluster* finished_ = nullptr;
    int64_t polls_ = 0;            // since something has happened
    std::vector<Thread> threads_;  // those of each block begin at a multiple of 32
    std::vector<uint32_t> ready_;  // the lanes of each warp that can run
    std::vector<std::unique_ptr<Block>> blocks_;
    std::vector<Cluster> clusters_;
    std::string failure_;
};

extern Thread* current;  // the thread that runs; null outside kernels
extern Group* group;     // its blocks
extern bool stopped;     // it has failed: `failure_` or a fault says how

struct Statistics {
    int64_t launches = 0, blocks = 0, switches = 0, barriers = 0, exchanges = 0, copies = 0, products = 0;
};
extern Statistics statistics;

}  // namespace pylayers::emulator
