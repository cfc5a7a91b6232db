// The bodies of wgmma: operands must stay as they were at the beginning, accumulators are poisoned until the end.
#include <algorithm>
#include <cstring>

#include "emulator/gather.hpp"
#include "emulator/matrix.hpp"
#include "emulator/multiplications.hpp"

namespace pylayers::emulator {
namespace {

using ptx::detail::Wgmma;

constexpr int kRowBytes = 32, kWarpRows = 16, kWarpsOfGroup = 4;

uint32_t poison(int word) { return 0xffffff00u | uint32_t(word); }

// Registers live on the threads' stacks, where their scope may have ended.
[[gnu::no_sanitize_address, gnu::optimize("no-tree-loop-distribute-patterns")]]
void read_registers(uint32_t* to, uint32_t const* from, int words) {
    for (int i = 0; i < words; ++i) to[i] = from[i];
}

[[gnu::no_sanitize_address]]
bool registers_hold(uint32_t const* registers, uint32_t const* values, int words) {
    for (int i = 0; i < words; ++i)
        if (registers[i] != values[i]) return false;
    return true;
}

bool unchanged(Registers& r) {
    for (int lane = 0; lane < kLanes; ++lane)
        if (!registers_hold(r.lanes[lane], r.values_of(lane), r.words)) return false;
    return true;
}

void take_values(Registers& r) {
    for (int lane = 0; lane < kLanes; ++lane) read_registers(r.values_of(lane), r.lanes[lane], r.words);
}

Multiplications& of_warp() {
    auto& m = current->block->warp_of(*current).multiplications;
    if (!m) m = std::make_unique<Multiplications>();
    return *m;
}

std::span<Thread> lanes() { return current->block->lanes_of(*current); }

Wgmma const& operands_of(Thread const& lane) { return *static_cast<Wgmma const*>(lane.operands); }

// These registers as instructions before know them. wgmma must find in them what they held at a fence, or what it has
// itself made of them.
template <class Of> Registers& registers(Multiplications& m, int words, Site const& site, Of of) {
    Registers* found = nullptr;
    for (auto& r : m.known)
        if (r->lanes[0] == of(0) && r->words == words) found = r.get();
    bool const is_new = !found;
    if (is_new) {
        found = m.known.emplace_back(std::make_unique<Registers>()).get();
        found->words = words;
        found->values.resize(std::size_t(words) * kLanes);
    }
    if (found->writing) return *found;
    for (int lane = 0; lane < kLanes; ++lane) found->lanes[lane] = of(lane);
    if (is_new ? !m.fenced : !unchanged(*found))
        group->fail(to_string(site) + ": its registers were written without wgmma_fence after it");
    take_values(*found);
    return *found;
}

// Operand bytes as the asynchronous proxy sees them.
void read_operand(std::byte* to, uint64_t descriptor, matrix::Type type, ptx::Major major, int first_row, int rows,
                  Site const& site, race::Ticket const* ticket) {
    Block& block = *current->block;
    std::byte* const proxy = block.proxy();
    std::byte* const shared = block.shared.data();
    auto const wrong = matrix::visit_operand(
        descriptor, type, major, first_row, rows, kSharedBase, block.shared.bytes(),
        [&](int row, int k, int offset, int bytes) {
            std::memcpy(to + row * kRowBytes + k, proxy + offset, bytes);
            if (std::memcmp(proxy + offset, shared + offset, bytes))
                group->fail(to_string(site) + ": byte " + std::to_string(offset) +
                            " of shared memory was written without fence_proxy_async, or without a barrier after it");
            if (ticket) race::access(lanes(), site, *ticket, shared + offset, bytes);
        });
    if (!wrong.empty()) group->fail(to_string(site) + ": " + wrong);
}

void read_operands(Multiplication& m, std::byte* a, std::byte* b, race::Ticket const* ticket) {
    int const warp = current->index / kLanes % kWarpsOfGroup;
    if (!m.a) read_operand(a, m.what.a, m.what.a_type, m.what.a_major, warp * kWarpRows, kWarpRows, *m.site, ticket);
    read_operand(b, m.what.b, m.what.b_type, m.what.b_major, 0, m.what.n, *m.site, ticket);
}

void read_a_registers(Multiplication& m) {
    for (int lane = 0; lane < kLanes; ++lane)
        for (int r = 0; r < 4; ++r) {
            layout::Position const at = layout::mma_a(lane, r);
            std::memcpy(&m.a_bytes[at.row * kRowBytes + at.column], m.a->values_of(lane) + r, 4);
        }
}

void check_lanes(Wgmma const& first, Site const& site) {
    for (Thread const& lane : lanes()) {
        Wgmma const& own = operands_of(lane);
        if (own.a != first.a || own.b != first.b || own.accumulate != first.accumulate)
            group->fail(to_string(site) + ": operands of lane " + std::to_string(lane.index % kLanes) +
                        " differ from those of lane 0");
    }
}

void check_still_poisoned(Registers& d, Site const& site) {
    uint32_t expected[128];
    for (int i = 0; i < d.words; ++i) expected[i] = poison(i);
    for (uint32_t const* registers : d.lanes)
        if (!registers_hold(registers, expected, d.words))
            group->fail("accumulators of " + to_string(site) + " were written while it was under way");
}

void land(Multiplication& m) {
    if (std::exchange(m.landed, true)) return;
    static std::vector<std::byte> a, b;
    a.resize(m.a_bytes.size());
    b.resize(m.b_bytes.size());
    read_operands(m, a.data(), b.data(), nullptr);
    if ((!m.a && a != m.a_bytes) || b != m.b_bytes)
        group->fail("operands of " + to_string(*m.site) + " were changed while it was under way");
    if (m.a) {
        --m.a->reading;
        if (!unchanged(*m.a))
            group->fail("registers of A of " + to_string(*m.site) + " were written while it was under way");
    }
    void* d[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) d[lane] = m.d->values_of(lane);
    matrix::wgmma(m.what.a_type, m.what.b_type, m.a_bytes.data(), m.b_bytes.data(), m.what.n, m.what.accumulate, d);
    if (--m.d->writing > 0) return;
    check_still_poisoned(*m.d, *m.site);
    for (int lane = 0; lane < kLanes; ++lane) std::memcpy(m.d->lanes[lane], d[lane], m.d->words * sizeof(uint32_t));
}

void begin(Multiplications& all, Site const& site) {
    Wgmma const& what = operands_of(lanes().front());
    check_lanes(what, site);
    follow_warpgroup(site, what.a, what.b);
    bool fenced = false;
    for (Thread& lane : lanes()) fenced |= std::exchange(lane.fenced, false);
    if (fenced) current->block->publish();
    if (all.unused.empty()) all.unused.push_back(std::make_unique<Multiplication>());
    Multiplication& m = *all.queue.emplace_back(std::move(all.unused.back()));
    all.unused.pop_back();
    m.what = what;
    m.site = &site;
    m.group = all.committed;
    m.landed = false;
    m.ticket = race::begin(lanes());
    m.a = nullptr;
    if (what.registers) {
        m.a = &registers(all, 4, site,
                         [](int lane) { return const_cast<uint32_t*>(operands_of(lanes()[lane]).registers); });
        ++m.a->reading;
    }
    m.d = &registers(all, what.n / 2, site,
                     [](int lane) { return static_cast<uint32_t*>(operands_of(lanes()[lane]).d); });
    m.a_bytes.resize(kWarpRows * kRowBytes);
    m.b_bytes.resize(std::size_t(what.n) * kRowBytes);
    if (m.a) read_a_registers(m);
    read_operands(m, m.a_bytes.data(), m.b_bytes.data(), &m.ticket);
    race::end_multiplication();
    if (m.d->writing++ == 0)
        for (uint32_t* d : m.d->lanes)
            for (int i = 0; i < m.d->words; ++i) d[i] = poison(i);
    ++statistics.products;
    if (group->schedule().at_once())
        for (auto& earlier : all.queue) land(*earlier);
}

}  // namespace

void Multiplications::reset() {
    while (!queue.empty()) {
        unused.push_back(std::move(queue.back()));
        queue.pop_back();
    }
    known.clear();
    committed = 0;
    fenced = false;
}

}  // namespace pylayers::emulator

namespace pylayers::ptx {

using emulator::current;
using emulator::Site;

void detail::wgmma(Wgmma const& operation, Where const& where) {
    Site& site = emulator::locate("wgmma", where);
    emulator::need_target(site);
    emulator::gather_warp(site, &operation, [&] { emulator::begin(emulator::of_warp(), site); });
}

void wgmma_fence(Where where) {
    Site& site = emulator::visit("wgmma_fence", where);
    if (site.dropped) return;
    emulator::gather_warp(site, nullptr, [] {
        auto& m = emulator::of_warp();
        m.fenced = true;
        for (auto& r : m.known)
            if (!r->writing && !r->reading) emulator::take_values(*r);
    });
}

void wgmma_commit(Where where) {
    Site& site = emulator::visit("wgmma_commit", where);
    if (site.dropped) return;
    emulator::gather_warp(site, nullptr, [] { ++emulator::of_warp().committed; });
}

void detail::wgmma_wait(int groups, Where const& where) {
    Site& site = emulator::visit("wgmma_wait", where);
    if (site.dropped) return;
    emulator::gather_warp(site, nullptr, [&] {
        auto& m = emulator::of_warp();
        m.fenced = false;
        std::size_t finished = 0;
        while (finished < m.queue.size() && m.queue[finished]->group < m.committed - groups)
            emulator::land(*m.queue[finished++]);
        if (!finished) return;
        for (emulator::Thread& lane : emulator::lanes())
            emulator::race::multiplied(lane, m.queue[finished - 1]->ticket);
        for (std::size_t i = 0; i < finished; ++i) m.unused.push_back(std::move(m.queue[i]));
        m.queue.erase(m.queue.begin(), m.queue.begin() + std::ptrdiff_t(finished));
    });
}

}  // namespace pylayers::ptx
