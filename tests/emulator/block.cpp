// Runs blocks: starts their threads as the schedule says, and reports how they fail.
#include "emulator/block.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

#include "emulator/report.hpp"

namespace pylayers::emulator {

Thread* current = nullptr;
Group* group = nullptr;
bool stopped = false;
Statistics statistics;

Group::Group(Kernel const& kernel, int64_t blocks, void const* params, Schedule const& schedule)
    : kernel_(kernel), blocks_(blocks), params_(params), schedule_(schedule), shared_(kernel.shared_bytes),
      threads_(kernel.threads), ready_((kernel.threads + kLanes - 1) / kLanes) {
    group = this;
}

Group::~Group() {
    for (Thread& t : threads_) t.fiber.abandon();
    group = nullptr;
    stopped = false;
}

void Group::start(int64_t index) {
    block_.index = index;
    block_.gate = {};
    block_.threads = threads_;
    block_.warps.resize(ready_.size());
    for (Warp& w : block_.warps) w.gate = {};
    for (int i = 0; Thread& t : threads_) {
        t.block = &block_;
        t.index = i++;
        t.done = false;
        t.site = nullptr;
    }
    wake(threads_);
    shared_.poison();
    schedule_.start(index, int(ready_.size()));
    race::start_block(threads_);
    ++statistics.blocks;
}

void Group::run(int64_t index) {
    start(index);
    for (int next; (next = schedule_.pick(ready_)) >= 0;) resume(threads_[next]);
    if (block_.gate.left < kernel_.threads) throw EmulatorError(deadlock());
    if (!shared_.intact())
        throw EmulatorError("bytes before shared memory were written\n  in kernel " + std::string(kernel_.name) +
                            ", block " + std::to_string(index));
}

void Group::resume(Thread& thread) {
    ++statistics.switches;
    if (!thread.fiber.started()) thread.fiber.start(run_thread);
    current = &thread;
    thread.fiber.resume();
    current = nullptr;
    if (stopped) report(thread);
    if (thread.done) thread.fiber.release();
}

void Group::run_thread() {
    Fiber::entered();
    group->kernel_.run(group->params_, group->shared_.data());
    group->finish(*current);
    current->fiber.suspend();
}

void Group::finish(Thread& thread) {
    thread.done = true;
    ready_[block_.first_warp + thread.index / kLanes] &= ~(1u << thread.index % kLanes);
    leave(block_.gate, "block");
    leave(block_.warp_of(thread).gate, "warp");
}

void Group::leave(Gate& gate, std::string const& members) {
    ++gate.left;
    if (gate.arrived)
        fail("a thread leaves the kernel while " + std::to_string(gate.arrived) + " of its " + members + " wait in " +
             to_string(*gate.site));
}

void Group::give_way() {
    if (schedule_.gives_way()) current->fiber.suspend();
}

void Group::wait() {
    ready_[current->block->first_warp + current->index / kLanes] &= ~(1u << current->index % kLanes);
    current->fiber.suspend();
}

void Group::wake(std::span<Thread> threads) {
    Block const& block = *threads.front().block;
    int const end = threads.back().index + 1;
    for (int i = threads.front().index; i < end; i += kLanes)
        ready_[block.first_warp + i / kLanes] = end - i >= kLanes ? ~0u : (1u << (end - i)) - 1;
}

void Group::fail(std::string const& what) {
    failure_ = what + place(*current);
    stopped = true;
    current->fiber.leave();
}

// ------------------------------------------------------------------------------------------------ reports

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
    auto const address = static_cast<std::byte const*>(fault.address);
    auto const end = shared_.data() + shared_.bytes();
    char text[160];
    std::snprintf(text, sizeof text, "guard fault: %s address %p",
                  fault.access == Fault::Access::kRead    ? "read of"
                  : fault.access == Fault::Access::kWrite ? "write to"
                                                          : "access to",
                  fault.address);
    std::string what = text;
    if (address >= end && address < end + 4096)
        what += ", " + std::to_string(address - end) + " bytes past the end of shared memory";
    if (fault.instruction) what += ", at " + source_line(low_half(fault.instruction));
    return what + place(thread);
}

std::string Group::deadlock() const {
    std::map<std::string, std::vector<int>> waiting;
    for (Thread const& t : threads_)
        waiting[t.done ? "left the kernel" : "wait in " + to_string(*t.site)].push_back(t.index);
    std::string text = "deadlock: no thread can run\n  in kernel " + std::string(kernel_.name) + ", block " +
                       std::to_string(block_.index);
    for (auto const& [where, threads] : waiting) text += "\n  " + where + ": threads " + ranges(threads);
    return text;
}

}  // namespace pylayers::emulator
