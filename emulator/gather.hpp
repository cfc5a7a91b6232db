// Rendezvous of threads that all execute the same call.
#pragma once
#include <string>
#include <utility>

#include "emulator/block.hpp"

namespace pylayers::emulator {

// Ends the launch: a member cannot come, or stands elsewhere.
[[noreturn]] void fail_absent(Site const& site, std::span<Thread> members);
[[noreturn]] void fail_divergent(Gate const& gate, Site const& site);

[[noreturn]] void fail_partial(Site const& site);

// The warp of the thread that runs, which has all its lanes.
inline Warp& whole_warp(Site const& site) {
    Block& block = *current->block;
    if (std::size_t(current->index / kLanes + 1) * kLanes > block.threads.size()) fail_partial(site);
    return block.warp_of(*current);
}

// Ends the launch where the kernel's kTarget does not have such instructions.
void need_target(Site const& site);

// Block `rank` of the cluster of the thread that runs, which is still there.
Block& block_of_cluster(int rank, Site const& site);

// The warp of the thread that runs executes this; those of a warpgroup execute the same, with the same operands.
void follow_warpgroup(Site const& site, uint64_t a, uint64_t b);

// The asynchronous proxy sees what this thread has fenced: it executes such an instruction itself.
inline void publish_own() {
    if (std::exchange(current->fenced, false)) current->block->publish();
}

// Waits until all members have come to this site; the last one then does `last`, which says whether they go on or still
// wait for something else.
template <class LastAction>
[[gnu::always_inline]] inline void gather_or_wait(Gate& gate, Site const& site, std::span<Thread> members,
                                                  LastAction last) {
    current->site = &site;
    if (gate.left) fail_absent(site, members);
    if (gate.arrived && gate.site != &site) fail_divergent(gate, site);
    gate.site = &site;
    if (++gate.arrived < int(members.size())) {
        group->wait();
        return;
    }
    gate.arrived = 0;
    if (!last()) {
        group->wait();
        return;
    }
    group->wake(members);
    group->give_way();
}

template <class LastAction>
[[gnu::always_inline]] inline void gather(Gate& gate, Site const& site, std::span<Thread> members, LastAction last) {
    gather_or_wait(gate, site, members, [&] {
        last();
        return true;
    });
}

// The same for the lanes of a warp, where the last one finds the operands of all in their threads.
template <class LastAction> void gather_warp(Site const& site, void const* operands, LastAction last) {
    current->operands = operands;
    group->give_way();
    gather(whole_warp(site).gate, site, current->block->lanes_of(*current), last);
}

}  // namespace pylayers::emulator
