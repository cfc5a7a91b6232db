// The numbers of actors: whose times the clocks of the race detector hold.
#pragma once
#include <cstdint>
#include <string>

#include "emulator/block.hpp"

namespace pylayers::emulator::race {

// Threads of the cluster; then the copies of each; then the wgmma of each warp; then, for each thread and its copies,
// up to when what they wrote is fenced for the asynchronous proxy. Only threads where nothing goes on by itself.
struct Actors {
    uint32_t block_threads, block_warps;
    uint32_t threads;  // of the cluster
    bool asynchronous;
    uint32_t count;

    uint32_t fence_of(uint32_t actor) const { return count - 2 * threads + actor; }
    bool is_copies(uint32_t actor) const { return actor >= threads && actor < 2 * threads; }
};
extern Actors actors;  // of the launch

inline uint32_t thread_actor(Thread const& t) {
    return uint32_t(t.block->rank) * actors.block_threads + uint32_t(t.index);
}
inline uint32_t copies_actor(Thread const& t) { return actors.threads + thread_actor(t); }
inline uint32_t warp_actor(Thread const& t) {
    return 2 * actors.threads + uint32_t(t.block->rank) * actors.block_warps + uint32_t(t.index / kLanes);
}

// "thread 5 of block 3"; the block where it is not that of the thread that runs.
std::string name(uint32_t actor, int64_t first_block);

}  // namespace pylayers::emulator::race
