// The bodies of mbarrier instructions: phases, arrivals, bytes of copies.
#include "emulator/mbarrier.hpp"

#include <cstring>
#include <utility>

#include "emulator/gather.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::emulator {
namespace {

// What an initialised mbarrier holds: this, and its number.
constexpr uint64_t kToken = 0x6d62617272696572, kNumbers = 0xffff;
constexpr int kMostArrivals = (1 << 20) - 1, kMostBytes = (1 << 20) - 1;

uint64_t token(std::size_t number) { return (kToken & ~kNumbers) | number; }

void end_phase(Block& block, Barrier& barrier) {
    if (barrier.pending > 0 || barrier.bytes != 0) return;
    ++barrier.phase;
    group->progress();
    barrier.pending = barrier.count;
    barrier.over = std::exchange(barrier.open, {});
    if (std::exchange(barrier.fenced, false)) block.publish();
    for (Thread* t = std::exchange(barrier.waiting, nullptr); t;) {
        Thread* const next = std::exchange(t->next_waiting, nullptr);
        group->wake(*t);
        t = next;
    }
}

std::string at(Barrier const& barrier) {
    return "mbarrier at byte " + std::to_string(barrier.offset) + " of shared memory";
}

void take_arrival(Block& block, Barrier& barrier, Site const& site) {
    if (barrier.pending == 0)
        group->fail(to_string(site) + ": more arrivals than the " + std::to_string(barrier.count) + " of the " +
                    at(barrier));
    --barrier.pending;
    end_phase(block, barrier);
}

void add_bytes(Barrier& barrier, int bytes, Site const& site) {
    barrier.bytes += bytes;
    if (barrier.bytes > kMostBytes || barrier.bytes < -kMostBytes)
        group->fail(to_string(site) + ": " + std::to_string(barrier.bytes) + " bytes to come at the " + at(barrier) +
                    ", it can count 1048575");
}

}  // namespace

Barrier& barrier_at(Block& block, uint32_t offset, Site const& site) {
    uint64_t state;
    std::memcpy(&state, block.shared.data() + offset, sizeof state);
    std::size_t const number = state & kNumbers;
    if (state == token(number) && number < block.barriers.size() && block.barriers[number].offset == offset)
        return block.barriers[number];
    for (Barrier const& barrier : block.barriers)
        if (barrier.offset == offset) group->fail(to_string(site) + ": the " + at(barrier) + " has been overwritten");
    std::string const owner = current && &block == current->block ? "" : " of block " + std::to_string(block.index);
    group->fail(to_string(site) + ": no mbarrier has been initialised at byte " + std::to_string(offset) +
                " of shared memory" + owner);
}

uint32_t barrier_offset(void const* address, Site const& site) {
    Block const& block = *current->block;
    if (!block.shared.holds(address) || !block.shared.holds(static_cast<std::byte const*>(address) + 7))
        group->fail(to_string(site) + ": the mbarrier does not lie in the block's shared memory");
    if (block.offset_of(address) % 8) group->fail(to_string(site) + ": an mbarrier lies at a multiple of 8 bytes");
    return block.offset_of(address);
}

void arrive(Block& block, Barrier& barrier, Site const& site) {
    race::access(*current, site, block.shared.data() + barrier.offset, 8, race::Access::kUse);
    race::release(std::span(current, 1), barrier.open);
    if (&block == current->block)
        barrier.fenced |= std::exchange(current->fenced, false);
    else
        publish_own();
    take_arrival(block, barrier, site);
}

void expect(Barrier& barrier, int bytes, Site const& site) {
    if (bytes < 0) group->fail(to_string(site) + ": " + std::to_string(bytes) + " bytes");
    race::access(*current, site, current->block->shared.data() + barrier.offset, 8, race::Access::kUse);
    barrier.site = &site;
    add_bytes(barrier, bytes, site);
    end_phase(*current->block, barrier);  // where the bytes came first
}

void land_bytes(Block& block, uint32_t offset, int bytes, race::Ticket const& ticket, Site const& site) {
    Barrier& barrier = barrier_at(block, offset, site);
    race::land(ticket, barrier.open);
    add_bytes(barrier, -bytes, site);
    end_phase(block, barrier);
}

void land_arrival(Block& block, uint32_t offset, race::Ticket const& ticket, Site const& site) {
    Barrier& barrier = barrier_at(block, offset, site);
    race::land(ticket, barrier.open);
    take_arrival(block, barrier, site);
}

std::string describe(Barrier const& barrier) {
    std::string text = at(barrier) + ": phase " + std::to_string(barrier.phase) + ", " +
                       std::to_string(barrier.pending) + " of " + std::to_string(barrier.count) + " arrivals and " +
                       std::to_string(barrier.bytes) + " bytes to come";
    if (barrier.site) text += ", bytes last expected by " + to_string(*barrier.site);
    return text;
}

}  // namespace pylayers::emulator

namespace pylayers::ptx {

using emulator::Barrier;
using emulator::Block;
using emulator::current;
using emulator::group;
using emulator::Site;

void mbarrier_init(Mbarrier* address, int arrivals, Where where) {
    Site& site = emulator::locate("mbarrier_init", where);
    emulator::need_target(site);
    uint32_t const offset = emulator::barrier_offset(address, site);
    Block& block = *current->block;
    if (arrivals < 1 || arrivals > emulator::kMostArrivals)
        group->fail(to_string(site) + ": " + std::to_string(arrivals) + " arrivals, an mbarrier counts 1 to 1048575");
    for (Barrier const& b : block.barriers)
        if (b.offset == offset) group->fail(to_string(site) + ": the " + emulator::at(b) + " is initialised already");
    address->state = emulator::token(block.barriers.size());
    Barrier& barrier = block.barriers.emplace_back();
    barrier.offset = offset;
    barrier.count = barrier.pending = arrivals;
    barrier.initialiser = current;
    emulator::race::access(*current, site, address, sizeof *address, emulator::race::Access::kWrite);
    group->give_way();
}

void fence_mbarrier_init(Where where) {
    Site& site = emulator::visit("fence_mbarrier_init", where);
    if (site.dropped) return;
    for (Barrier& b : current->block->barriers)
        if (b.initialiser == current) b.visible = true;
    group->give_way();
}

void mbarrier_arrive(Mbarrier* address, Where where) {
    Site& site = emulator::visit("mbarrier_arrive", where);
    if (site.dropped) return;
    group->give_way();
    Block& block = *current->block;
    arrive(block, barrier_at(block, emulator::barrier_offset(address, site), site), site);
    group->give_way();
}

void mbarrier_arrive_cluster(Mbarrier* address, int rank, Where where) {
    Site& site = emulator::visit("mbarrier_arrive_cluster", where);
    if (site.dropped) return;
    group->give_way();
    uint32_t const offset = emulator::barrier_offset(address, site);
    Block& block = emulator::block_of_cluster(rank, site);
    Barrier& barrier = barrier_at(block, offset, site);
    if (&block != current->block && !barrier.visible)
        group->fail(to_string(site) + ": the " + emulator::at(barrier) + " of block " + std::to_string(block.index) +
                    " was initialised without fence_mbarrier_init");
    arrive(block, barrier, site);
    group->give_way();
}

void mbarrier_arrive_expect_tx(Mbarrier* address, int bytes, Where where) {
    Site& site = emulator::visit("mbarrier_arrive_expect_tx", where);
    if (site.dropped) return;
    group->give_way();
    Block& block = *current->block;
    Barrier& barrier = barrier_at(block, emulator::barrier_offset(address, site), site);
    expect(barrier, bytes, site);
    arrive(block, barrier, site);
    group->give_way();
}

void mbarrier_expect_tx(Mbarrier* address, int bytes, Where where) {
    Site& site = emulator::visit("mbarrier_expect_tx", where);
    if (site.dropped) return;
    group->give_way();
    expect(barrier_at(*current->block, emulator::barrier_offset(address, site), site), bytes, site);
    group->give_way();
}

bool mbarrier_test(Mbarrier* address, int parity, Where where) {
    Site& site = emulator::locate("mbarrier_test", where);
    group->poll(site);
    Barrier& barrier = barrier_at(*current->block, emulator::barrier_offset(address, site), site);
    emulator::race::access(*current, site, address, sizeof *address, emulator::race::Access::kUse);
    if ((barrier.phase & 1) == uint32_t(parity)) return false;
    emulator::race::acquire(std::span(current, 1), barrier.over);
    return true;
}

namespace {

void wait(char const* instruction, Mbarrier* address, int parity, Where const& where) {
    Site& site = emulator::visit(instruction, where);
    if (site.dropped) return;
    if (parity != 0 && parity != 1) group->fail(to_string(site) + ": parity " + std::to_string(parity));
    group->give_way();
    Barrier& barrier = barrier_at(*current->block, emulator::barrier_offset(address, site), site);
    emulator::race::access(*current, site, address, sizeof *address, emulator::race::Access::kUse);
    // Two phases may end before the thread looks again: then it has missed its own.
    while ((barrier.phase & 1) == uint32_t(parity)) {
        current->site = &site;
        current->next_waiting = std::exchange(barrier.waiting, current);
        group->wait();
    }
    emulator::race::acquire(std::span(current, 1), barrier.over);
}

}  // namespace

void mbarrier_wait(Mbarrier* barrier, int parity, Where where) { wait("mbarrier_wait", barrier, parity, where); }
void mbarrier_wait_cluster(Mbarrier* barrier, int parity, Where where) {
    wait("mbarrier_wait_cluster", barrier, parity, where);
}

}  // namespace pylayers::ptx
