// The clocks of threads: what barriers, fences and atomics let them know of each other.
#include "emulator/race.hpp"

#include <algorithm>
#include <unordered_map>

#include "emulator/block.hpp"
#include "emulator/shadow.hpp"

namespace pylayers::emulator::race {
namespace {

std::unordered_map<void const*, History> counters;  // what was published by atomics on them

Known join(Known const& a, Known const& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    auto both = std::make_shared<Clocks>(*a);
    std::transform(a->begin(), a->end(), b->begin(), both->begin(),
                   [](uint32_t x, uint32_t y) { return std::max(x, y); });
    return both;
}

History join(History const& a, History const& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    auto both = std::make_shared<std::map<int64_t, Known>>(*a);
    for (auto const& [block, known] : *b) (*both)[block] = join((*both)[block], known);
    return both;
}

History only(int64_t block, Known const& known) {
    return std::make_shared<std::map<int64_t, Known>>(std::map<int64_t, Known>{{block, known}});
}

}  // namespace

void start_launch(void const* params, int params_bytes) {
    counters.clear();
    shadow::start_launch(params, params_bytes);
}

void start_block(std::span<Thread> threads) {
    for (Thread& t : threads) t.view = {};
}

void meet(std::span<Thread> threads) {
    View all = threads.front().view;
    auto known = std::make_shared<Clocks>(all.block ? *all.block : Clocks(threads.front().block->threads.size()));
    for (Thread& t : threads) {
        if (t.view.block && t.view.block != all.block)
            for (std::size_t i = 0; i < known->size(); ++i) (*known)[i] = std::max((*known)[i], (*t.view.block)[i]);
        all.others = join(all.others, t.view.others);
        all.published = join(all.published, t.view.published);
        all.offered = join(all.offered, t.view.offered);
    }
    for (Thread& t : threads) (*known)[t.index] = t.view.now;
    all.block = known;
    for (Thread& t : threads) {
        all.now = t.view.now + 1;
        t.view = all;
    }
}

void fence(Thread& thread) {
    View& v = thread.view;
    auto own = std::make_shared<Clocks>(v.block ? *v.block : Clocks(thread.block->threads.size()));
    (*own)[thread.index] = v.now++;
    v.block = own;
    v.others = join(v.others, v.offered);
    if (v.others)  // atomics may have returned what threads of this very block published
        if (auto const mine = v.others->find(thread.block->index); mine != v.others->end())
            v.block = join(v.block, mine->second);
    v.published = join(v.others, only(thread.block->index, v.block));
    v.offered = nullptr;
}

void atomic(Thread& thread, void const* counter) {
    History& published = counters[counter];
    thread.view.offered = join(thread.view.offered, published);
    published = join(published, thread.view.published);
}

}  // namespace pylayers::emulator::race
