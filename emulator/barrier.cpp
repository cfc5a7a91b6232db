// The bodies of barriers: of the block, the warp, some warps of the block, the cluster.
#include <algorithm>
#include <utility>

#include "emulator/gather.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::emulator {

constexpr int kWarpsOfGroup = 4;

void follow_warpgroup(Site const& site, uint64_t a, uint64_t b) {
    int const warp = current->index / kLanes;
    if (int(current->block->threads.size()) < (warp / kWarpsOfGroup + 1) * kWarpsOfGroup * kLanes)
        group->fail(to_string(site) + ": the block's last warpgroup has not all its four warps");
    Warpgroup& w = current->block->warpgroups[warp / kWarpsOfGroup];
    std::size_t& done = w.done[warp % kWarpsOfGroup];
    if (done == w.steps.size()) {
        w.steps.push_back({&site, a, b});
    } else {
        Warpgroup::Step const& step = w.steps[done];
        if (step.site != &site || step.a != a || step.b != b)
            group->fail("warps of a warpgroup differ: warp " + std::to_string(warp) + " executes " + to_string(site) +
                        " where another executed " + to_string(*step.site) +
                        (step.site == &site ? " with other operands" : ""));
    }
    ++done;
    if (std::all_of(w.done, w.done + kWarpsOfGroup, [&](std::size_t d) { return d == w.steps.size(); })) {
        w.steps.clear();
        std::fill(w.done, w.done + kWarpsOfGroup, std::size_t(0));
    }
}

namespace {

// All members wait for each other.
void meet(Gate& gate, Site const& site, std::span<Thread> members) {
    gate.fenced |= std::exchange(current->fenced, false);
    ++statistics.barriers;
    gather(gate, site, members, [&] {
        race::meet(members);
        if (std::exchange(gate.fenced, false)) current->block->publish();
    });
}

bool any_fenced(std::span<Thread> lanes) {
    bool fenced = false;
    for (Thread& lane : lanes) fenced |= std::exchange(lane.fenced, false);
    return fenced;
}

// ----------------------------------------------------------------------------------------- named barriers

NamedBarrier& named_barrier(int number, int threads, Site const& site) {
    Block& block = *current->block;
    if (number < 1 || number >= int(block.named.size()))
        group->fail(to_string(site) + ": barrier " + std::to_string(number) + ", a block has barriers 1 to 15");
    if (threads < kLanes || threads % kLanes || threads > int(block.threads.size()))
        group->fail(to_string(site) + ": " + std::to_string(threads) +
                    " threads, a barrier waits for whole warps of the " + std::to_string(block.threads.size()) +
                    " threads");
    NamedBarrier& barrier = block.named[number];
    if (barrier.arrived && barrier.expected != threads)
        group->fail(to_string(site) + ": barrier " + std::to_string(number) + " is to wait for " +
                    std::to_string(threads) + " threads here and for " + std::to_string(barrier.expected) + " in " +
                    to_string(*barrier.site));
    return barrier;
}

// The warp of the thread that runs has come. Whether it was the last.
bool come(NamedBarrier& barrier, int threads, Site const& site) {
    Block& block = *current->block;
    auto const lanes = block.lanes_of(*current);
    if (!barrier.arrived) barrier.site = &site;
    barrier.expected = threads;
    barrier.fenced |= any_fenced(lanes);
    race::release(lanes, barrier.open);
    ++statistics.barriers;
    if ((barrier.arrived += kLanes) < threads) return false;
    if (std::exchange(barrier.fenced, false)) block.publish();
    for (int warp = 0; warp < int(block.warps.size()); ++warp)
        if (barrier.waiting >> warp & 1) {
            race::acquire(block.lanes_of(warp), barrier.open);
            group->wake(block.lanes_of(warp));
        }
    return true;
}

// ----------------------------------------------------------------------------------------------- clusters

void come(Cluster& cluster, std::span<Thread> lanes) {
    cluster.arrived += int(lanes.size());
    if (cluster.arrived < int(cluster.blocks.size() * cluster.blocks[0]->threads.size())) return;
    cluster.arrived = 0;
    cluster.over = std::exchange(cluster.open, {});
    for (auto const& block : cluster.blocks)
        for (int warp = 0; warp < int(block->warps.size()); ++warp)
            if (std::exchange(block->warps[warp].at_cluster_barrier, AtClusterBarrier::kArrived) ==
                AtClusterBarrier::kWaits) {
                block->warps[warp].at_cluster_barrier = AtClusterBarrier::kNo;
                race::acquire(block->lanes_of(warp), cluster.over);
                group->wake(block->lanes_of(warp));
            }
}

}  // namespace
}  // namespace pylayers::emulator

namespace pylayers::ptx {

using emulator::AtClusterBarrier;
using emulator::current;
using emulator::group;
using emulator::Site;

void sync_block(Where where) {
    Site& site = emulator::visit("sync_block", where);
    if (site.dropped) return;
    group->give_way();
    emulator::meet(current->block->gate, site, current->block->threads);
}

void sync_warp(Where where) {
    Site& site = emulator::visit("sync_warp", where);
    if (site.dropped) return;
    group->give_way();
    emulator::meet(emulator::whole_warp(site).gate, site, current->block->lanes_of(*current));
}

void barrier_sync(int number, int threads, Where where) {
    Site& site = emulator::visit("barrier_sync", where);
    if (site.dropped) return;
    group->give_way();
    gather_or_wait(emulator::whole_warp(site).gate, site, current->block->lanes_of(*current), [&] {
        auto& barrier = emulator::named_barrier(number, threads, site);
        if (!emulator::come(barrier, threads, site)) {
            barrier.waiting |= 1u << current->index / emulator::kLanes;
            return false;
        }
        emulator::race::acquire(current->block->lanes_of(*current), barrier.open);
        barrier = {};
        return true;
    });
}

void barrier_arrive(int number, int threads, Where where) {
    Site& site = emulator::visit("barrier_arrive", where);
    if (site.dropped) return;
    emulator::gather_warp(site, nullptr, [&] {
        auto& barrier = emulator::named_barrier(number, threads, site);
        if (emulator::come(barrier, threads, site)) barrier = {};
    });
}

void cluster_arrive(Where where) {
    Site& site = emulator::visit("cluster_arrive", where);
    if (site.dropped) return;
    group->give_way();
    auto const lanes = current->block->lanes_of(*current);
    auto& warp = current->block->warp_of(*current);
    gather(warp.gate, site, lanes, [&] {
        emulator::Cluster& cluster = *current->block->cluster;
        if (warp.at_cluster_barrier != AtClusterBarrier::kNo)
            group->fail(to_string(site) + ": the warp has arrived already and not waited");
        warp.at_cluster_barrier = AtClusterBarrier::kToCome;
        if (emulator::any_fenced(lanes)) current->block->publish();
        emulator::race::release(lanes, cluster.open);
        emulator::come(cluster, lanes);
    });
}

void cluster_wait(Where where) {
    Site& site = emulator::visit("cluster_wait", where);
    if (site.dropped) return;
    group->give_way();
    auto const lanes = current->block->lanes_of(*current);
    auto& warp = current->block->warp_of(*current);
    gather_or_wait(warp.gate, site, lanes, [&] {
        if (warp.at_cluster_barrier == AtClusterBarrier::kNo)
            group->fail(to_string(site) + ": the warp has not arrived");
        bool const over = warp.at_cluster_barrier == AtClusterBarrier::kArrived;
        warp.at_cluster_barrier = over ? AtClusterBarrier::kNo : AtClusterBarrier::kWaits;
        if (over) emulator::race::acquire(lanes, current->block->cluster->over);
        return over;
    });
}

}  // namespace pylayers::ptx
