// Runs clusters of blocks: starts their threads as the schedule says, and what their end must find in order.
#include "emulator/block.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulator/mbarrier.hpp"
#include "emulator/multiplications.hpp"

namespace pylayers::emulator {

Thread* current = nullptr;
Group* group = nullptr;
bool stopped = false;
Statistics statistics;

namespace {

int warps_of(int threads) { return (threads + kLanes - 1) / kLanes; }

}  // namespace

Block::Block(int number, int shared_bytes) : number(number), shared(number, shared_bytes) {}
Block::~Block() = default;

std::byte* Block::proxy() {
    if (!proxy_used_) {
        proxy_.assign(shared.bytes(), std::byte{0xff});
        proxy_used_ = true;
    }
    return proxy_.data();
}

void Block::publish() { std::memcpy(proxy(), shared.data(), shared.bytes()); }

Group::Group(Kernel const& kernel, int64_t blocks, int resident, void const* params, Schedule const& schedule)
    : kernel_(kernel), block_count_(blocks), params_(params), schedule_(schedule),
      warps_per_block_(warps_of(kernel.threads)), clusters_(resident) {
    int const count = resident * kernel.cluster;
    threads_ = std::vector<Thread>(std::size_t(count) * warps_per_block_ * kLanes);
    ready_.resize(std::size_t(count) * warps_per_block_);
    for (int i = 0; i < count; ++i) {
        Block& block = *blocks_.emplace_back(std::make_unique<Block>(i, kernel.shared_bytes));
        block.rank = i % kernel.cluster;
        block.cluster = &clusters_[i / kernel.cluster];
        block.first_warp = i * warps_per_block_;
        block.warps.resize(warps_per_block_);
        block.warpgroups.resize((warps_per_block_ + 3) / 4);
        block.threads = std::span(threads_).subspan(std::size_t(block.first_warp) * kLanes, kernel.threads);
        for (int t = 0; Thread& thread : block.threads) {
            thread.block = &block;
            thread.index = t++;
        }
    }
    for (int i = 0; i < resident; ++i)
        clusters_[i].blocks = std::span(blocks_).subspan(i * kernel.cluster, kernel.cluster);
    group = this;
}

Group::~Group() {
    for (Thread& t : threads_) t.fiber.abandon();
    group = nullptr;
    current = nullptr;
    stopped = false;
}

// ---------------------------------------------------------------------------------------------- beginning

void Group::start(Block& block, int64_t index) {
    block.index = index;
    block.left = false;
    block.gate = {};
    block.shared.open();
    block.shared.poison();
    block.forget_proxy();
    for (NamedBarrier& b : block.named) b = {};
    block.barriers.clear();
    block.free_registers = 0;
    for (Warp& w : block.warps) {
        w.gate = {};
        w.registers = kernel_.registers;
        w.wanted = 0;
        w.at_cluster_barrier = AtClusterBarrier::kNo;
        if (w.multiplications) w.multiplications->reset();
    }
    for (Warpgroup& w : block.warpgroups) w = {};
    for (Thread& t : block.threads) {
        t.done = t.fenced = false;
        t.site = nullptr;
        if (!kernel_.asynchronous) continue;
        t.copies.copies.clear();
        t.copies.ends.clear();
        t.copies.first = t.copies.promised = 0;
        t.stores.committed = 0;
    }
    race::start_block(block);
    wake(block.threads);
    ++statistics.blocks;
}

void Group::start(Cluster& cluster, int64_t first) {
    cluster.first = first;
    cluster.alive = kernel_.threads * kernel_.cluster;
    cluster.arrived = 0;
    cluster.open = cluster.over = {};
    for (auto& block : cluster.blocks) start(*block, first++);
    if (running_++ == 0) schedule_.start(cluster.first, int(ready_.size()));
}

bool Group::start_next(Cluster& cluster) {
    if (next_ >= last_) return false;
    start(cluster, std::exchange(next_, next_ + kernel_.cluster));
    return true;
}

void Group::run(int64_t first, int64_t last) {
    next_ = first;
    last_ = last;
    for (Cluster& cluster : clusters_) start_next(cluster);
    while (running_ > 0) {
        int const next = schedule_.pick(ready_);
        if (next >= 0)
            resume(threads_[next]);
        else if (!under_way.land())
            throw EmulatorError(deadlock());
        if (under_way.any_loads()) under_way.drift();
        if (finished_) {
            --running_;
            start_next(*std::exchange(finished_, nullptr));
        }
    }
    under_way.finish();
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
    group->kernel_.run(group->params_, current->block->shared.data());
    group->finish(*current);
    current->fiber.suspend();
}

// ------------------------------------------------------------------------------------------------ the end

void Group::finish(Thread& thread) {
    Block& block = *thread.block;
    if (kernel_.asynchronous) check_left(thread);
    thread.done = true;
    ready_[block.first_warp + thread.index / kLanes] &= ~(1u << thread.index % kLanes);
    leave(block.gate, "block");
    leave(block.warp_of(thread).gate, "warp");
    bool const last = block.gate.left == kernel_.threads;
    if (kernel_.cluster > 1)
        if (std::string const wrong = race::leave(thread, last); !wrong.empty()) fail(wrong);
    if (last) leave(block);
    if (--block.cluster->alive == 0) finished_ = block.cluster;
}

void Group::check_left(Thread& thread) {
    CopyGroups& copies = thread.copies;
    if (std::max(copies.promised, copies.first) < copies.end())
        fail("a thread leaves the kernel without having waited for " + to_string(*copies.copies.back().site));
    for (Store const* store : thread.stores.stores)
        if (!store->waited)
            fail("a thread leaves the kernel while its " + to_string(*store->site) +
                 " may still read shared memory: no tma_wait_read or tma_wait has waited for it");
    if (!thread.stores.stores.empty()) under_way.take_over(thread.stores);
    auto const& multiplications = thread.block->warp_of(thread).multiplications;
    if (multiplications)
        if (Site const* site = multiplications->in_flight())
            fail("a thread leaves the kernel without having waited for " + to_string(*site));
}

void Group::leave(Gate& gate, std::string const& members) {
    ++gate.left;
    if (gate.arrived)
        fail("a thread leaves the kernel while " + std::to_string(gate.arrived) + " of its " + members + " wait in " +
             to_string(*gate.site));
}

void Group::leave(Block& block) {
    if (Load const* load = under_way.toward(block))
        fail("block " + std::to_string(block.index) + " leaves the kernel while " + to_string(*load->site) +
             " is on its way into its shared memory");
    for (Barrier const& barrier : block.barriers)
        if (barrier.bytes != 0) fail("a block leaves the kernel with an unfinished " + emulator::describe(barrier));
    for (Warpgroup const& w : block.warpgroups)
        for (std::size_t done : w.done)
            if (done != w.steps.size() && !w.steps.empty())
                fail("warps of a warpgroup differ: not all of them executed " + to_string(*w.steps[done].site));
    if (!block.shared.intact()) fail("bytes before shared memory were written");
    block.left = true;
    if (block.cluster->alive > 1) block.shared.close();
}

// -------------------------------------------------------------------------------------- the thread that runs

void Group::give_way() {
    if (schedule_.gives_way()) current->fiber.suspend();
}

void Group::poll(Site const& site) {
    constexpr int64_t kUntilSomethingLands = 1 << 12, kForEver = 1 << 18;
    current->site = &site;
    if (++polls_ % kUntilSomethingLands == 0) under_way.land();
    if (polls_ > kForEver) fail(deadlock());
    current->fiber.suspend();
}

void Group::wait() {
    ready_[current->block->first_warp + current->index / kLanes] &= ~(1u << current->index % kLanes);
    current->fiber.suspend();
}

void Group::wake(std::span<Thread> threads) {
    progress();
    Block const& block = *threads.front().block;
    int const end = threads.back().index + 1;
    for (int i = threads.front().index; i < end; i += kLanes)
        ready_[block.first_warp + i / kLanes] = end - i >= kLanes ? ~0u : (1u << (end - i)) - 1;
}

void Group::wake(Thread& thread) {
    ready_[thread.block->first_warp + thread.index / kLanes] |= 1u << thread.index % kLanes;
}

void Group::fail(std::string const& what) {
    if (!current) throw EmulatorError(what + "\n  in kernel " + std::string(kernel_.name));
    failure_ = what + place(*current);
    stopped = true;
    current->fiber.leave();
}

}  // namespace pylayers::emulator
