// The bodies of what threads do with their warp alone: indices, exchange, election, registers.
#include <cstring>

#include "emulator/gather.hpp"
#include "emulator/report.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::ptx {

using emulator::Block;
using emulator::current;
using emulator::group;
using emulator::Site;
using emulator::Warp;

void trap(Where where) { group->fail("trap at " + emulator::to_string(where)); }

int thread_index() { return current->index; }
int64_t block_index() { return current->block->index; }
int64_t block_count() { return group->block_count(); }
int detail::lane() { return current->index % emulator::kLanes; }
int cluster_rank() { return current->block->rank; }
int cluster_size() { return group->kernel().cluster; }

uint32_t shared_address(void const* p, Where where) {
    auto const& shared = current->block->shared;
    if (!shared.holds(p) && p != shared.data() + shared.bytes())
        group->fail("shared_address at " + emulator::to_string(where) + ": not in the block's shared memory");
    return emulator::kSharedBase + current->block->offset_of(p);
}

void* detail::cluster_map(void* p, int bytes, int rank, Where const& where) {
    Site& site = emulator::locate("cluster_map", where);
    auto const begin = static_cast<std::byte const*>(p);
    Block const& own = *current->block;
    if (!own.shared.holds(begin) || !own.shared.holds(begin + bytes - 1))
        group->fail(to_string(site) + ": not in the block's shared memory");
    return emulator::block_of_cluster(rank, site).shared.data() + own.offset_of(p);
}

// ---------------------------------------------------------------------------------------------- exchange

namespace {

// Hands a value to the warp; returns those of all lanes.
auto hand_over(Site const& site, void const* value, int bytes) {
    group->give_way();
    Warp& warp = emulator::whole_warp(site);
    int const turn = warp.turn;
    std::memcpy(warp.values[turn][detail::lane()], value, bytes);
    ++emulator::statistics.exchanges;
    gather(warp.gate, site, current->block->lanes_of(*current), [&] { warp.turn ^= 1; });
    return warp.values[turn];
}

}  // namespace

void detail::exchange(char const* instruction, void const* value, void* result, int bytes, int source,
                      Where const& where) {
    Site& site = emulator::visit(instruction, where);
    if (site.dropped) {
        std::memcpy(result, value, bytes);
        return;
    }
    if (source < 0 || source >= emulator::kLanes)
        group->fail(to_string(site) + ": reads lane " + std::to_string(source) + " of a warp of 32");
    std::memcpy(result, hand_over(site, value, bytes)[source], bytes);
}

uint32_t ballot(bool predicate, Where where) {
    Site& site = emulator::visit("ballot", where);
    if (site.dropped) return uint32_t(predicate) << detail::lane();
    auto const values = hand_over(site, &predicate, sizeof predicate);
    uint32_t all = 0;
    for (int lane = 0; lane < emulator::kLanes; ++lane) all |= uint32_t(values[lane][0]) << lane;
    return all;
}

bool elect_one(Where where) {
    emulator::gather_warp(emulator::locate("elect_one", where), nullptr, [] {});
    return detail::lane() == group->schedule().leader();
}

// --------------------------------------------------------------------------------------------- registers

namespace {

bool grant(Block& block, Warp& warp, int registers) {
    int const more = (registers - warp.registers) * emulator::kLanes;
    if (more > block.free_registers) return false;
    block.free_registers -= more;
    warp.registers = registers;
    return true;
}

void grant_waiting(Block& block) {
    for (int i = 0; Warp& warp : block.warps) {
        if (warp.wanted && grant(block, warp, warp.wanted)) {
            warp.wanted = 0;
            group->wake(block.lanes_of(i));
        }
        ++i;
    }
}

}  // namespace

void detail::set_registers(int registers, bool more, Where const& where) {
    Site& site = emulator::locate(more ? "setmaxnreg_inc" : "setmaxnreg_dec", where);
    emulator::need_target(site);
    group->give_way();
    Block& block = *current->block;
    Warp& warp = emulator::whole_warp(site);
    gather_or_wait(warp.gate, site, block.lanes_of(*current), [&] {
        emulator::follow_warpgroup(site, uint64_t(registers), 0);
        if (more ? registers < warp.registers : registers > warp.registers)
            group->fail(to_string(site) + ": " + std::to_string(registers) + " registers, the thread has " +
                        std::to_string(warp.registers));
        bool const granted = grant(block, warp, registers);
        if (!granted) warp.wanted = registers;
        if (!more) grant_waiting(block);
        return granted;
    });
}

}  // namespace pylayers::ptx
