// How blocks fail: faults and deadlocks in words.
#include <cstdio>
#include <map>

#include "emulator/block.hpp"
#include "emulator/gather.hpp"
#include "emulator/mbarrier.hpp"
#include "emulator/report.hpp"

namespace pylayers::emulator {

std::string Group::place(Thread const& thread) const {
    return "\n  in kernel " + std::string(kernel_.name) + ", block " + std::to_string(thread.block->index) +
           ", thread " + std::to_string(thread.index);
}

void Group::report(Thread const& thread) const {
    auto const fault = FaultTrap::take();
    throw EmulatorError(fault ? describe(*fault, thread) : failure_);
}

std::string Group::describe(Fault const& fault, Thread const& thread) const {
    if (thread.fiber.on_guard(fault.address)) return "the thread's stack overflows" + place(thread);
    char text[160];
    std::snprintf(text, sizeof text, "guard fault: %s address %p",
                  fault.access == Fault::Access::kRead    ? "read of"
                  : fault.access == Fault::Access::kWrite ? "write to"
                                                          : "access to",
                  fault.address);
    std::string what = text;
    for (auto const& block : blocks_) {
        std::string const owner = block.get() == thread.block ? "" : " of block " + std::to_string(block->index);
        auto const offset = static_cast<std::byte const*>(fault.address) - block->shared.data();
        if (block->shared.just_before(fault.address))
            what +=
                ", " + std::to_string(offset - block->shared.bytes()) + " bytes past the end of shared memory" + owner;
        else if (block->left && block->shared.holds(fault.address))
            what += ", byte " + std::to_string(offset) + " of shared memory" + owner + ", which has left the kernel";
    }
    if (fault.instruction) what += ", at " + source_line(low_half(fault.instruction));
    return what + place(thread);
}

std::string Group::deadlock(Block const& block) const {
    std::map<std::string, std::vector<int>> waiting;
    for (Thread const& t : block.threads)
        waiting[t.done ? "left the kernel" : "wait in " + to_string(*t.site)].push_back(t.index);
    std::string text = "\n  in block " + std::to_string(block.index) + ":";
    for (auto const& [where, threads] : waiting) text += "\n    " + where + ": threads " + ranges(threads);
    for (Barrier const& barrier : block.barriers) text += "\n    " + emulator::describe(barrier);
    for (int i = 1; NamedBarrier const& barrier : std::span(block.named).subspan(1)) {
        if (barrier.arrived)
            text += "\n    barrier " + std::to_string(i) + ": " + std::to_string(barrier.arrived) + " of " +
                    std::to_string(barrier.expected) + " threads have come";
        ++i;
    }
    return text;
}

std::string Group::deadlock() const {
    std::string text = "deadlock: no thread can run\n  in kernel " + std::string(kernel_.name);
    for (Cluster const& cluster : clusters_)
        if (cluster.alive)
            for (auto const& block : cluster.blocks) text += deadlock(*block);
    if (flag_waiting && next_ < last_)
        text += "\n  blocks " + std::to_string(next_) + " to " + std::to_string(last_ - 1) +
                " have not begun: emulated.resident says how many clusters live together";
    return text;
}

// ------------------------------------------------------------------------------------------- rendezvous

void fail_absent(Site const& site, std::span<Thread> members) {
    std::vector<int> numbers;
    for (Thread const& t : members)
        if (t.done) numbers.push_back(t.index);
    group->fail(to_string(site) + ": threads " + ranges(numbers) + " have left the kernel");
}

void fail_divergent(Gate const& gate, Site const& site) {
    group->fail("divergence: thread " + std::to_string(current->index) + " comes to " + to_string(site) + " while " +
                std::to_string(gate.arrived) + " already wait in " + to_string(*gate.site));
}

void fail_partial(Site const& site) {
    auto const threads = current->block->threads.size();
    group->fail(to_string(site) + ": the block has " + std::to_string(threads) +
                " threads, so its last warp has only " + std::to_string(threads % kLanes) + " lanes");
}

void need_target(Site const& site) {
    if (!group->kernel().asynchronous) group->fail(to_string(site) + ": the kernel's kTarget is kAny");
}

Block& block_of_cluster(int rank, Site const& site) {
    auto const blocks = current->block->cluster->blocks;
    if (rank < 0 || rank >= int(blocks.size()))
        group->fail(to_string(site) + ": block " + std::to_string(rank) + " of a cluster of " +
                    std::to_string(blocks.size()));
    if (blocks[rank]->left)
        group->fail(to_string(site) + ": block " + std::to_string(blocks[rank]->index) + " has left the kernel");
    return *blocks[rank];
}

}  // namespace pylayers::emulator
