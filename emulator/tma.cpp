// The bodies of TMA's instructions: what they demand of their operands, and how threads wait for them.
#include <utility>

#include "emulator/gather.hpp"
#include "emulator/mbarrier.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::ptx {

using emulator::Block;
using emulator::current;
using emulator::group;
using emulator::Load;
using emulator::Site;
using emulator::Source;
using emulator::Store;
namespace race = emulator::race;

namespace {

constexpr int kTmaAlignment = 128, kBulkAlignment = 16;

// The place in the own block's shared memory of the bytes that a copy writes or reads.
uint32_t offset_of(void const* address, int bytes, int alignment, Site const& site) {
    auto const p = static_cast<std::byte const*>(address);
    Block const& block = *current->block;
    if (!block.shared.holds(p) || p + bytes > block.shared.data() + block.shared.bytes())
        group->fail(to_string(site) + ": the " + std::to_string(bytes) +
                    " bytes of the copy do not lie in the block's shared memory");
    uint32_t const offset = block.offset_of(p);
    if (offset % alignment)
        group->fail(to_string(site) + ": in shared memory a copy lies at a multiple of " + std::to_string(alignment) +
                    " bytes, this one at byte " + std::to_string(offset));
    return offset;
}

Source source_of(detail::Box const& box) {
    Source source;
    source.map = box.map;
    source.rank = box.rank;
    std::copy_n(box.at, box.rank, source.at);
    source.has_tap = box.tap != nullptr;
    if (box.tap) std::copy_n(box.tap, box.rank - 2, source.tap);
    return source;
}

void check_map(TensorMap const* map, Site const& site) {
    emulator::need_target(site);
    if (reinterpret_cast<std::uintptr_t>(map) % 64)
        group->fail(to_string(site) + ": a tensor map lies at a multiple of 64 bytes");
}

void begin_load(Source const& from, Block& block, uint32_t offset, int bytes, uint32_t barrier, race::Ticket ticket,
                Site const& site) {
    if (!barrier_at(block, barrier, site).visible)
        group->fail(to_string(site) + ": its mbarrier was initialised without fence_mbarrier_init");
    race::access(*current, site, block.shared.data() + barrier, 8, race::Access::kUse);
    Load& load = group->under_way.new_load();
    load.from = from;
    load.block = &block;
    load.offset = offset;
    load.barrier = barrier;
    load.bytes = bytes;
    load.site = &site;
    load.thread = current;
    load.ticket = ticket;
    ++emulator::statistics.copies;
    group->under_way.begin(load);
}

void begin_store(Source const& to, TmaStore how, uint32_t offset, int bytes, Site const& site) {
    emulator::publish_own();
    Block& block = *current->block;
    Store& store = group->under_way.new_store();
    store.to = to;
    store.how = how;
    store.block = &block;
    store.offset = offset;
    store.bytes = bytes;
    store.site = &site;
    store.read_ticket = race::begin(*current);
    std::byte* const from = block.shared.data() + offset;
    race::access(*current, site, store.read_ticket, true, from, bytes, race::Access::kRead);
    if (std::memcmp(from, block.proxy() + offset, bytes))
        group->fail(to_string(site) +
                    ": reads shared memory that was written without fence_proxy_async, or without a barrier after it");
    store.write_ticket = race::begin(*current);
    ++emulator::statistics.copies;
    group->under_way.begin(store, *current);
}

}  // namespace

void fence_proxy_async(Where where) {
    Site& site = emulator::visit("fence_proxy_async", where);
    if (site.dropped || (site.of_one_lane && detail::lane() != 0)) return;
    emulator::need_target(site);
    current->fenced = true;
    race::fence_proxy(*current);
    group->give_way();
}

void tma_prefetch(TensorMap const* map, Where where) { check_map(map, emulator::locate("tma_prefetch", where)); }

uint16_t detail::own_block() { return uint16_t(1 << current->block->rank); }

void detail::tma_load(char const* instruction, void* to, Box const& box, Mbarrier* barrier, uint16_t blocks,
                      Where const& where) {
    Site& site = emulator::locate(instruction, where);
    check_map(box.map, site);
    group->give_way();
    int const bytes = emulator::box_bytes(*box.map);
    uint32_t const offset = offset_of(to, bytes, kTmaAlignment, site);
    uint32_t const barrier_offset = emulator::barrier_offset(barrier, site);
    Source const from = source_of(box);
    if (blocks == 0) group->fail(to_string(site) + ": no block is to receive the copy");
    race::Ticket const ticket = race::begin(*current);
    for (int rank = 0; blocks >> rank; ++rank)
        if (blocks >> rank & 1)
            begin_load(from, emulator::block_of_cluster(rank, site), offset, bytes, barrier_offset, ticket, site);
    group->give_way();
}

void detail::tma_store(Box const& box, void const* from, TmaStore how, Where const& where) {
    Site& site = emulator::locate("tma_store", where);
    check_map(box.map, site);
    group->give_way();
    int const bytes = emulator::box_bytes(*box.map);
    uint32_t const offset = offset_of(from, bytes, kTmaAlignment, site);
    if (auto const wrong = emulator::why_not_combined(*box.map, how); !wrong.empty())
        group->fail(to_string(site) + ": " + wrong);
    begin_store(source_of(box), how, offset, bytes, site);
    group->give_way();
}

void tma_commit(Where where) {
    Site& site = emulator::visit("tma_commit", where);
    if (site.dropped) return;
    ++current->stores.committed;
    group->give_way();
}

void detail::tma_wait(char const* instruction, int groups, bool written, Where const& where) {
    Site& site = emulator::visit(instruction, where);
    if (site.dropped) return;
    group->give_way();
    auto& own = current->stores;
    for (Store*& store : own.stores) {
        if (store->group >= own.committed - groups) continue;
        store->waited = true;
        race::copied(*current, written ? store->write_ticket : store->read_ticket);
        if (!written) {
            group->under_way.read(*store);
            continue;
        }
        group->under_way.write(*store);
        group->under_way.free(*std::exchange(store, nullptr));
    }
    std::erase(own.stores, nullptr);
}

void bulk_load(void* to, void const* from, int bytes, Mbarrier* barrier, Where where) {
    Site& site = emulator::locate("bulk_load", where);
    emulator::need_target(site);
    group->give_way();
    if (bytes < 0 || bytes % kBulkAlignment || reinterpret_cast<std::uintptr_t>(from) % kBulkAlignment)
        group->fail(to_string(site) + ": size and addresses are multiples of 16 bytes");
    uint32_t const offset = offset_of(to, bytes, kBulkAlignment, site);
    Source source;
    source.data = const_cast<std::byte*>(static_cast<std::byte const*>(from));
    if (bytes)
        begin_load(source, *current->block, offset, bytes, emulator::barrier_offset(barrier, site),
                   race::begin(*current), site);
    group->give_way();
}

void bulk_store(void* to, void const* from, int bytes, Where where) {
    Site& site = emulator::locate("bulk_store", where);
    emulator::need_target(site);
    group->give_way();
    if (bytes < 0 || bytes % kBulkAlignment || reinterpret_cast<std::uintptr_t>(to) % kBulkAlignment)
        group->fail(to_string(site) + ": size and addresses are multiples of 16 bytes");
    uint32_t const offset = offset_of(from, bytes, kBulkAlignment, site);
    Source target;
    target.data = static_cast<std::byte*>(to);
    if (bytes) begin_store(target, TmaStore::kWrite, offset, bytes, site);
    group->give_way();
}

}  // namespace pylayers::ptx
