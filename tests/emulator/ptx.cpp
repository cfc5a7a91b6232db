// The bodies of the vocabulary: rendezvous, exchange, atomics, conversions.
#include "kernels/core/ptx.cuh"

#include <bit>

#include "emulator/block.hpp"
#include "emulator/report.hpp"

namespace pylayers::ptx {

using emulator::current;
using emulator::Gate;
using emulator::group;
using emulator::Site;
using emulator::Thread;

namespace {

std::string absent(std::span<Thread> members) {
    std::vector<int> numbers;
    for (Thread const& t : members)
        if (t.done) numbers.push_back(t.index);
    return emulator::ranges(numbers);
}

// Waits until all members have come to this site.
template <class LastAction> void gather(Gate& gate, Site const& site, std::span<Thread> members, LastAction last) {
    current->site = &site;
    if (gate.left) group->fail(to_string(site) + ": threads " + absent(members) + " have left the kernel");
    if (gate.arrived && gate.site != &site)
        group->fail("divergence: thread " + std::to_string(current->index) + " comes to " + to_string(site) +
                    " while " + std::to_string(gate.arrived) + " already wait in " + to_string(*gate.site));
    gate.site = &site;
    if (++gate.arrived < int(members.size())) {
        group->wait();
    } else {
        gate.arrived = 0;
        last();
        group->wake(members);
        group->give_way();
    }
}

emulator::Warp& whole_warp(Site const& site) {
    auto const lanes = current->block->lanes_of(*current).size();
    if (lanes < emulator::kLanes)
        group->fail(to_string(site) + ": the block has " + std::to_string(current->block->threads.size()) +
                    " threads, so its last warp has only " + std::to_string(lanes) + " lanes");
    return current->block->warp_of(*current);
}

}  // namespace

void trap(Where where) { group->fail("trap at " + emulator::to_string(where)); }

int thread_index() { return current->index; }
int64_t block_index() { return current->block->index; }
int64_t block_count() { return group->block_count(); }
int detail::lane() { return current->index % emulator::kLanes; }

// ------------------------------------------------------------------------------------- barriers, shuffles

void sync_block(Where where) {
    Site& site = emulator::visit("sync_block", where);
    if (site.dropped) return;
    group->give_way();
    auto const threads = current->block->threads;
    ++emulator::statistics.barriers;
    gather(current->block->gate, site, threads, [&] { emulator::race::meet(threads); });
}

void sync_warp(Where where) {
    Site& site = emulator::visit("sync_warp", where);
    if (site.dropped) return;
    group->give_way();
    auto const lanes = current->block->lanes_of(*current);
    ++emulator::statistics.barriers;
    gather(whole_warp(site).gate, site, lanes, [&] { emulator::race::meet(lanes); });
}

void detail::exchange(char const* instruction, void const* value, void* result, int bytes, int source,
                      Where const& where) {
    Site& site = emulator::visit(instruction, where);
    if (site.dropped) {
        std::memcpy(result, value, bytes);
        return;
    }
    if (source < 0 || source >= emulator::kLanes)
        group->fail(to_string(site) + ": reads lane " + std::to_string(source) + " of a warp of 32");
    group->give_way();
    emulator::Warp& warp = whole_warp(site);
    int const turn = warp.turn;
    std::memcpy(warp.values[turn][lane()], value, bytes);
    ++emulator::statistics.exchanges;
    gather(warp.gate, site, current->block->lanes_of(*current), [&] { warp.turn ^= 1; });
    std::memcpy(result, warp.values[turn][source], bytes);
}

// ------------------------------------------------------------------------------------------------ atomics

uint32_t atomic_increment(uint32_t* counter, uint32_t limit, Where where) {
    group->give_way();
    if (reinterpret_cast<std::uintptr_t>(counter) % sizeof *counter)
        group->fail("atomic_increment at " + emulator::to_string(where) + ": the counter is misaligned");
    uint32_t const old = *counter;
    *counter = old >= limit ? 0 : old + 1;
    emulator::race::atomic(*current, counter);
    return old;
}

void fence_device(Where where) {
    Site& site = emulator::visit("fence_device", where);
    if (site.dropped) return;
    emulator::race::fence(*current);
    group->give_way();
}

// --------------------------------------------------------------------------------------------- conversion

float to_float(bf16 x) { return std::bit_cast<float>(uint32_t(x.bits) << 16); }

template <> bf16 from_float<bf16>(float x) {
    auto const u = std::bit_cast<uint32_t>(x);
    if (x != x) return {0x7fff};  // the chip's NaN
    return {uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}

float to_float(fp16 x) {
    uint32_t const sign = uint32_t(x.bits & 0x8000) << 16, magnitude = x.bits & 0x7fff;
    if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    // The same bits at float's place are too small by 2^112: exact, and right for subnormals too.
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f));
}

template <> fp16 from_float<fp16>(float x) {
    auto const u = std::bit_cast<uint32_t>(x);
    auto const sign = uint16_t(u >> 16 & 0x8000);
    uint32_t const magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) return {0x7fff};                    // the chip's NaN
    if (magnitude >= 0x477ff000) return {uint16_t(sign | 0x7c00)};  // rounds to 65536 or more
    if (magnitude < 0x38800000) {                                   // subnormal: units of 2^-24
        float const units = std::bit_cast<float>(magnitude) * 0x1p24f;
        return {uint16_t(sign | uint32_t(rintf(units)))};
    }
    uint32_t const rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return {uint16_t(sign | (rounded - 0x38000000) >> 13)};
}

}  // namespace pylayers::ptx
