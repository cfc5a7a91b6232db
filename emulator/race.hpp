// Happens-before by vector clocks: finds accesses that no barrier, fence, atomic or wait orders, on whatever schedule
// runs. Present only where the kernels are compiled with -fsanitize=thread; elsewhere every function is empty.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace pylayers::emulator {
struct Block;
struct Kernel;
struct Site;
struct Thread;
}  // namespace pylayers::emulator

namespace pylayers::emulator::race {

#if defined(PYLAYERS_RACE)
// The latest known time of each actor of one cluster: of its threads, of what each thread began (copies) and each warp
// (wgmma); and, of each thread and its copies, up to when their writes are fenced for the asynchronous proxy.
using Clocks = std::vector<uint32_t>;
using Known = std::shared_ptr<Clocks const>;                      // shared by all who learned it together
using History = std::shared_ptr<std::map<int64_t, Known> const>;  // by cluster

// What one thread knows to have happened. Of itself and of what it began it knows more than `cluster` says.
struct View {
    uint32_t now = 1;                       // its own time; moves on with each barrier, fence and arrival
    uint32_t fenced = 0;                    // its own time when it last fenced for the asynchronous proxy
    uint32_t begun = 0, done = 0;           // its copies: of the last one, and of the last that it has waited for
    uint32_t done_fenced = 0;               // and fenced
    uint32_t products = 0, multiplied = 0;  // of wgmma of its warp: lane 0's last one, the last it has waited for
    Known cluster;                          // of its own cluster
    History others;                         // of other clusters
    History published;                      // what its last fence made visible to the device
    History offered;                        // what atomics returned; known after the next fence
};

// What threads let others know that come later.
struct Release {
    std::shared_ptr<Clocks> cluster;
    History others, published, offered;
};

// An operation that goes on by itself: when its actor began it.
struct Ticket {
    uint32_t actor = 0, time = 0;
};

// Which actors of other blocks have touched a block's shared memory, and what its threads knew when they left.
struct Leaving {
    Clocks touched;
    Release known;
};

void start_launch(Kernel const& kernel, void const* params, int params_bytes);
void start_block(Block& block);
// These threads have waited for each other. A fence of one of them before it counts for all: fences are cumulative.
void meet(std::span<Thread> threads);
void fence(Thread& thread);
void atomic(Thread& thread, void const* address);
void store_release(Thread& thread, void const* flag);

void release(std::span<Thread> threads, Release& to);
void acquire(std::span<Thread> threads, Release const& from);
// The thread's writes so far are there for the asynchronous proxy.
void fence_proxy(Thread& thread);

Ticket begin(Thread& thread);           // a copy
Ticket begin(std::span<Thread> lanes);  // a wgmma
void land(Ticket const& ticket, Release& to);
void copied(Thread& thread, Ticket const& ticket);  // it has waited for it
void multiplied(Thread& thread, Ticket const& ticket);

// Accesses by instructions: of the thread itself, of one of its copies (by the asynchronous proxy, or as ordinary ones
// are), of a wgmma.
enum class Access { kRead, kWrite, kUse };
void access(Thread& thread, Site const& site, void const* address, int bytes, Access access);
void access(Thread& thread, Site const& site, Ticket const& ticket, bool proxy, void const* address, int bytes,
            Access access);
void access(std::span<Thread> lanes, Site const& site, Ticket const& ticket, void const* address, int bytes);
// Ends what the lanes' common view was for.
void end_multiplication();

// The thread leaves; the last one of a block ends its shared memory, and returns who may still touch it.
std::string leave(Thread& thread, bool last);
#else
struct View {};
struct Release {};
struct Ticket {};
struct Leaving {};
enum class Access { kRead, kWrite, kUse };
inline void start_launch(Kernel const&, void const*, int) {}
inline void start_block(Block&) {}
inline void meet(std::span<Thread>) {}
inline void fence(Thread&) {}
inline void atomic(Thread&, void const*) {}
inline void store_release(Thread&, void const*) {}
inline void release(std::span<Thread>, Release&) {}
inline void acquire(std::span<Thread>, Release const&) {}
inline void fence_proxy(Thread&) {}
inline Ticket begin(Thread&) { return {}; }
inline Ticket begin(std::span<Thread>) { return {}; }
inline void land(Ticket const&, Release&) {}
inline void copied(Thread&, Ticket const&) {}
inline void multiplied(Thread&, Ticket const&) {}
inline void access(Thread&, Site const&, void const*, int, Access) {}
inline void access(Thread&, Site const&, Ticket const&, bool, void const*, int, Access) {}
inline void access(std::span<Thread>, Site const&, Ticket const&, void const*, int) {}
inline void end_multiplication() {}
inline std::string leave(Thread&, bool) { return {}; }
#endif

}  // namespace pylayers::emulator::race
