// Copies under way: sources must stay as they were at the beginning, destinations are poisoned until the end.
#include "emulator/asynchronous.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulator/gather.hpp"
#include "emulator/mbarrier.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::emulator {
namespace {

constexpr int kPieceBytes = 16;

bool poisoned(std::byte const* p, std::size_t bytes) {
    return std::all_of(p, p + bytes, [](std::byte b) { return b == std::byte{0xff}; });
}

// Of a copy between these bytes and a box, or other bytes.
template <class Visit> void visit_pieces(Source const& s, uint32_t offset, int bytes, Site const& site, Visit visit) {
    if (s.map) {
        auto const wrong = visit_box(*s.map, s.rank, s.at, s.has_tap ? s.tap : nullptr, kSharedBase + offset, visit);
        if (!wrong.empty()) group->fail(to_string(site) + ": " + wrong);
    } else {
        for (int i = 0; i < bytes; i += kPieceBytes) visit(Piece{s.data + i, i, kPieceBytes});
    }
}

void take_piece(Source const& s, std::byte* to, Piece const& piece) {
    if (s.map)
        load(*s.map, to, piece.global, piece.bytes);
    else
        std::memcpy(to, piece.global, piece.bytes);
}

template <class T> T& take(std::vector<T*>& free, std::vector<std::unique_ptr<T>>& all) {
    if (free.empty()) return *all.emplace_back(std::make_unique<T>());
    T& taken = *free.back();
    free.pop_back();
    return taken;
}

}  // namespace

Load& UnderWay::new_load() { return take(free_loads_, all_loads_); }
Store& UnderWay::new_store() { return take(free_stores_, all_stores_); }
void UnderWay::free(Store& store) { free_stores_.push_back(&store); }

// ------------------------------------------------------------------------------------------------- loads

void UnderWay::begin(Load& load) {
    load.source.resize(load.bytes);
    visit_pieces(load.from, load.offset, load.bytes, *load.site, [&](Piece const& piece) {
        take_piece(load.from, load.source.data() + piece.shared_offset, piece);
        if (piece.global)
            race::access(*load.thread, *load.site, load.ticket, true, piece.global, piece.bytes, race::Access::kRead);
    });
    std::byte* const to = load.block->shared.data() + load.offset;
    if (load.bytes) race::access(*load.thread, *load.site, load.ticket, true, to, load.bytes, race::Access::kWrite);
    load.poisoned = !group->schedule().at_once();
    if (load.poisoned) {
        std::memset(to, 0xff, load.bytes);
        if (load.bytes) std::memset(load.block->proxy() + load.offset, 0xff, load.bytes);
        loads_.push_back(&load);
    } else {
        land(load);
    }
}

void UnderWay::land(Load& load) {
    Block& block = *load.block;
    if (!load.bytes) {
        land_copies(*load.thread, load.copies);
        land_arrival(block, load.barrier, load.ticket, *load.site);
        free_loads_.push_back(&load);
        return;
    }
    std::byte* const to = block.shared.data() + load.offset;
    if (load.poisoned) {
        visit_pieces(load.from, load.offset, load.bytes, *load.site, [&](Piece const& piece) {
            std::byte now[kPieceBytes];
            take_piece(load.from, now, piece);
            if (std::memcmp(now, load.source.data() + piece.shared_offset, piece.bytes))
                group->fail("the source of " + to_string(*load.site) + " was changed while the copy was under way");
        });
        if (!poisoned(to, load.bytes) || !poisoned(block.proxy() + load.offset, load.bytes))
            group->fail("shared memory of block " + std::to_string(block.index) + " was written while " +
                        to_string(*load.site) + " was on its way there, bytes " + std::to_string(load.offset) + " to " +
                        std::to_string(load.offset + load.bytes));
    }
    std::memcpy(to, load.source.data(), load.bytes);
    std::memcpy(block.proxy() + load.offset, load.source.data(), load.bytes);
    land_bytes(block, load.barrier, load.bytes, load.ticket, *load.site);
    free_loads_.push_back(&load);
}

void UnderWay::land(std::size_t i) {
    Load& load = *loads_[i];
    loads_.erase(loads_.begin() + std::ptrdiff_t(i));
    land(load);
}

bool UnderWay::land() {
    if (loads_.empty()) return false;
    land(group->schedule().next_of(loads_.size()));
    return true;
}

void UnderWay::drift() {
    if (group->schedule().lands()) land(group->schedule().next_of(loads_.size()));
}

Load const* UnderWay::toward(Block const& block) const {
    for (Load const* load : loads_)
        if (load->block == &block) return load;
    return nullptr;
}

// ------------------------------------------------------------------------------------------------ stores

void UnderWay::begin(Store& store, Thread& thread) {
    std::byte const* const seen = store.block->proxy() + store.offset;
    store.source.assign(seen, seen + store.bytes);
    store.group = thread.stores.committed;
    store.read = store.waited = store.written = false;
    thread.stores.stores.push_back(&store);
    bool const at_once = group->schedule().at_once();
    visit_pieces(store.to, store.offset, store.bytes, *store.site, [&](Piece const& piece) {
        if (!piece.global) return;
        race::access(thread, *store.site, store.write_ticket, true, piece.global, piece.bytes, race::Access::kWrite);
        if (!at_once && store.how == ptx::TmaStore::kWrite) std::memset(piece.global, 0xff, piece.bytes);
    });
    if (at_once) write(store);
}

void UnderWay::read(Store& store) {
    if (std::exchange(store.read, true)) return;
    auto const same = [&](std::byte const* memory) {
        return std::memcmp(memory + store.offset, store.source.data(), store.bytes) == 0;
    };
    if (!same(store.block->shared.data()) || !same(store.block->proxy()))
        group->fail("the source of " + to_string(*store.site) + " was changed while the copy was under way, bytes " +
                    std::to_string(store.offset) + " to " + std::to_string(store.offset + store.bytes) +
                    " of shared memory");
}

void UnderWay::write(Store& store) {
    read(store);
    if (std::exchange(store.written, true)) return;
    visit_pieces(store.to, store.offset, store.bytes, *store.site, [&](Piece const& piece) {
        if (!piece.global) return;
        std::byte const* const from = store.source.data() + piece.shared_offset;
        if (store.to.map)
            combine(*store.to.map, store.how, piece.global, from, piece.bytes);
        else
            std::memcpy(piece.global, from, piece.bytes);
    });
}

void UnderWay::take_over(StoreGroups& groups) {
    stores_.insert(stores_.end(), groups.stores.begin(), groups.stores.end());
    groups.stores.clear();
}

void UnderWay::finish() {
    for (Store* store : stores_) {
        write(*store);
        free(*store);
    }
    stores_.clear();
}

// ----------------------------------------------------------------------------------------------- cp.async

namespace {

void land(Copy& copy) {
    if (std::exchange(copy.landed, true)) return;
    if (std::memcmp(copy.from, copy.source, copy.source_bytes))
        group->fail("the source of " + to_string(*copy.site) + " was changed while the copy was under way");
    if (!poisoned(copy.to, copy.bytes))
        group->fail("shared memory was written while " + to_string(*copy.site) + " was on its way there");
    std::memcpy(copy.to, copy.source, copy.bytes);
}

}  // namespace

void land_copies(Thread& thread, uint64_t end) {
    CopyGroups& groups = thread.copies;
    if (end <= groups.first) return;
    auto const last = groups.copies.begin() + std::ptrdiff_t(end - groups.first);
    for (auto copy = groups.copies.begin(); copy != last; ++copy) land(*copy);
    groups.copies.erase(groups.copies.begin(), last);
    groups.first = end;
}

}  // namespace pylayers::emulator

namespace pylayers::ptx {

using emulator::Copy;
using emulator::CopyGroups;
using emulator::current;
using emulator::group;
using emulator::Site;
namespace race = emulator::race;

void detail::cp_async(void* to, void const* from, int bytes, int source_bytes, Where const& where) {
    Site& site = emulator::locate("cp_async", where);
    emulator::need_target(site);
    auto const target = static_cast<std::byte*>(to);
    auto const source = static_cast<std::byte const*>(from);
    auto const& shared = current->block->shared;
    if (!shared.holds(target) || !shared.holds(target + bytes - 1))
        group->fail(to_string(site) + ": the destination does not lie in the block's shared memory");
    if (current->block->offset_of(target) % bytes || reinterpret_cast<std::uintptr_t>(from) % bytes)
        group->fail(to_string(site) + ": both sides of a copy of " + std::to_string(bytes) +
                    " bytes lie at multiples of it");
    if (source_bytes < 0 || source_bytes > bytes)
        group->fail(to_string(site) + ": " + std::to_string(source_bytes) + " of " + std::to_string(bytes) + " bytes");
    Copy& copy = current->copies.copies.emplace_back(
        Copy{target, source, bytes, source_bytes, &site, false, race::begin(*current), {}});
    std::memcpy(copy.source, source, source_bytes);
    if (source_bytes) race::access(*current, site, copy.ticket, false, source, source_bytes, race::Access::kRead);
    race::access(*current, site, copy.ticket, false, target, bytes, race::Access::kWrite);
    std::memset(target, 0xff, bytes);
    ++emulator::statistics.copies;
    if (group->schedule().at_once()) emulator::land(copy);
}

void cp_async_commit(Where where) {
    Site& site = emulator::visit("cp_async_commit", where);
    if (site.dropped) return;
    current->copies.ends.push_back(current->copies.end());
    group->give_way();
}

void detail::cp_async_wait(int groups, Where const& where) {
    Site& site = emulator::visit("cp_async_wait", where);
    if (site.dropped) return;
    group->give_way();
    CopyGroups& own = current->copies;
    if (own.ends.size() > std::size_t(groups)) {
        std::size_t const finished = own.ends.size() - groups;
        uint64_t const end = own.ends[finished - 1];
        if (end > own.first) race::copied(*current, own.copies[end - own.first - 1].ticket);
        emulator::land_copies(*current, end);
        own.ends.erase(own.ends.begin(), own.ends.begin() + std::ptrdiff_t(finished));
    }
}

void cp_async_mbarrier_arrive(Mbarrier* address, Where where) {
    Site& site = emulator::visit("cp_async_mbarrier_arrive", where);
    if (site.dropped) return;
    uint32_t const offset = emulator::barrier_offset(address, site);
    emulator::barrier_at(*current->block, offset, site);
    race::access(*current, site, address, sizeof *address, race::Access::kUse);
    CopyGroups& own = current->copies;
    own.promised = own.end();
    emulator::Load& load = group->under_way.new_load();
    load.block = current->block;
    load.barrier = offset;
    load.bytes = 0;
    load.site = &site;
    load.thread = current;
    load.copies = own.end();
    load.ticket = own.copies.empty() ? race::Ticket{} : own.copies.back().ticket;
    group->under_way.begin(load);
    group->give_way();
}

}  // namespace pylayers::ptx
