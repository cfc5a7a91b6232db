// The clocks of threads and of what goes on by itself: what barriers, fences, atomics and waits let them know of each
// other.
#include "emulator/race.hpp"

#include <algorithm>
#include <unordered_map>

#include "emulator/block.hpp"
#include "emulator/clocks.hpp"
#include "emulator/shadow.hpp"

namespace pylayers::emulator::race {

Actors actors;

namespace {

std::unordered_map<void const*, History> counters;  // what was published by atomics on them
View common;                                        // of the lanes whose wgmma begins; all folded into its clocks
bool has_common = false;

void raise(Clocks& a, Clocks const& b) {
    uint32_t* const to = a.data();
    uint32_t const* const from = b.data();
    for (std::size_t i = 0, n = a.size(); i < n; ++i) to[i] = std::max(to[i], from[i]);
}

// Threads that knew the same and learn the same share the result.
Known join(Known const& a, Known const& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    static Known last_a, last_b, last;
    if (a == last_a && b == last_b) return last;
    auto both = std::make_shared<Clocks>(*a);
    raise(*both, *b);
    last_a = a;
    last_b = b;
    return last = both;
}

History join(History const& a, History const& b) {
    if (!b || a == b) return a;
    if (!a) return b;
    auto both = std::make_shared<std::map<int64_t, Known>>(*a);
    for (auto const& [cluster, known] : *b) (*both)[cluster] = join((*both)[cluster], known);
    return both;
}

History only(int64_t cluster, Known const& known) {
    return std::make_shared<std::map<int64_t, Known>>(std::map<int64_t, Known>{{cluster, known}});
}

// What a thread knows of itself.
void fold(Thread const& t, Clocks& clocks) {
    View const& v = t.view;
    uint32_t const thread = thread_actor(t);
    auto const raise_to = [&](uint32_t actor, uint32_t time) { clocks[actor] = std::max(clocks[actor], time); };
    raise_to(thread, v.now);
    if (!actors.asynchronous) return;
    raise_to(copies_actor(t), v.done);
    raise_to(warp_actor(t), v.multiplied);
    raise_to(actors.fence_of(thread), v.fenced);
    raise_to(actors.fence_of(copies_actor(t)), v.done_fenced);
}

std::shared_ptr<Clocks> own_clocks(Thread const& t) {
    return std::make_shared<Clocks>(t.view.cluster ? *t.view.cluster : Clocks(actors.count));
}

// What all of the threads know of their cluster.
std::shared_ptr<Clocks> all_clocks(std::span<Thread> threads) {
    auto known = own_clocks(threads.front());
    Clocks const* last = threads.front().view.cluster.get();
    for (Thread const& t : threads) {
        if (t.view.cluster && t.view.cluster.get() != last) raise(*known, *t.view.cluster);
        last = t.view.cluster.get();
    }
    for (Thread const& t : threads) fold(t, *known);
    return known;
}

}  // namespace

void start_launch(Kernel const& kernel, void const* params, int params_bytes) {
    counters.clear();
    uint32_t const warps = uint32_t(kernel.threads + kLanes - 1) / kLanes;
    actors = {uint32_t(kernel.threads), warps, uint32_t(kernel.threads * kernel.cluster), kernel.asynchronous, 0};
    actors.count = kernel.asynchronous ? 4 * actors.threads + warps * uint32_t(kernel.cluster) : actors.threads;
    shadow::start_launch(params, params_bytes);
}

void start_block(Block& block) {
    for (Thread& t : block.threads) t.view = {};
    block.leaving = {};
    if (block.cluster->blocks.size() > 1) block.leaving.touched.resize(actors.count);
}

void meet(std::span<Thread> threads) {
    View all;
    all.cluster = all_clocks(threads);
    for (Thread& t : threads) {
        all.others = join(all.others, t.view.others);
        all.published = join(all.published, t.view.published);
        all.offered = join(all.offered, t.view.offered);
    }
    for (Thread& t : threads) {
        View& v = t.view;
        ++v.now;
        v.cluster = all.cluster;
        v.others = all.others;
        v.published = all.published;
        v.offered = all.offered;
    }
}

void fence(Thread& thread) {
    View& v = thread.view;
    auto own = own_clocks(thread);
    fold(thread, *own);
    ++v.now;
    v.cluster = own;
    v.others = join(v.others, v.offered);
    int64_t const cluster = thread.block->cluster->first;
    if (v.others)  // atomics may have returned what threads of this very cluster published
        if (auto const mine = v.others->find(cluster); mine != v.others->end())
            v.cluster = join(v.cluster, mine->second);
    v.published = join(v.others, only(cluster, v.cluster));
    v.offered = nullptr;
}

void atomic(Thread& thread, void const* address) {
    History& published = counters[address];
    thread.view.offered = join(thread.view.offered, published);
    published = join(published, thread.view.published);
}

void store_release(Thread& thread, void const* flag) { counters[flag] = thread.view.published; }

void release(std::span<Thread> threads, Release& to) {
    if (!to.cluster) to.cluster = std::make_shared<Clocks>(actors.count);
    Clocks const* last = nullptr;
    for (Thread& t : threads) {
        View& v = t.view;
        if (v.cluster && v.cluster.get() != last) raise(*to.cluster, *v.cluster);
        last = v.cluster.get();
        fold(t, *to.cluster);
        ++v.now;
        to.others = join(to.others, v.others);
        to.published = join(to.published, v.published);
        to.offered = join(to.offered, v.offered);
    }
}

void acquire(std::span<Thread> threads, Release const& from) {
    for (Thread& t : threads) {
        View& v = t.view;
        v.cluster = join(v.cluster, from.cluster);
        v.others = join(v.others, from.others);
        v.published = join(v.published, from.published);
        v.offered = join(v.offered, from.offered);
    }
}

void fence_proxy(Thread& thread) {
    View& v = thread.view;
    v.fenced = v.now++;
    v.done_fenced = v.done;
}

// ------------------------------------------------------------------------------- what goes on by itself

Ticket begin(Thread& thread) { return {copies_actor(thread), ++thread.view.begun}; }

Ticket begin(std::span<Thread> lanes) {
    common = {};
    common.cluster = all_clocks(lanes);
    has_common = true;
    uint32_t const actor = warp_actor(lanes.front());
    return {actor, ++lanes.front().view.products};
}

void end_multiplication() { has_common = false; }

void land(Ticket const& ticket, Release& to) {
    if (!to.cluster) to.cluster = std::make_shared<Clocks>(actors.count);
    uint32_t& time = (*to.cluster)[ticket.actor];
    time = std::max(time, ticket.time);
}

void copied(Thread& thread, Ticket const& ticket) { thread.view.done = std::max(thread.view.done, ticket.time); }

void multiplied(Thread& thread, Ticket const& ticket) {
    thread.view.multiplied = std::max(thread.view.multiplied, ticket.time);
}

void access(Thread& thread, Site const& site, void const* address, int bytes, Access access) {
    shadow::access({&thread.view, &thread, thread_actor(thread), thread.view.now, site.number | shadow::kSite}, address,
                   bytes, access);
}

void access(Thread& thread, Site const& site, Ticket const& ticket, bool proxy, void const* address, int bytes,
            Access access) {
    uint32_t const actor = ticket.actor | (proxy ? shadow::kProxy : 0);
    shadow::access({&thread.view, &thread, actor, ticket.time, site.number | shadow::kSite}, address, bytes, access);
}

void access(std::span<Thread> lanes, Site const& site, Ticket const& ticket, void const* address, int bytes) {
    shadow::access({&common, nullptr, ticket.actor | shadow::kProxy, ticket.time, site.number | shadow::kSite}, address,
                   bytes, Access::kRead);
    (void)lanes;
}

// ------------------------------------------------------------------------------------------------- leaving

std::string leave(Thread& thread, bool last) {
    Leaving& leaving = thread.block->leaving;
    release(std::span(&thread, 1), leaving.known);
    if (!last) return {};
    for (uint32_t actor = 0; actor < actors.count; ++actor)
        if (leaving.touched[actor] > (*leaving.known.cluster)[actor])
            return "block " + std::to_string(thread.block->index) + " leaves the kernel while " +
                   name(actor, thread.block->cluster->first) + " may still touch its shared memory";
    return {};
}

std::string name(uint32_t actor, int64_t first_block) {
    auto const member = [&](uint32_t number, uint32_t of_each) {
        std::string text = std::to_string(number % of_each);
        if (int64_t const block = first_block + number / of_each; !current || block != current->block->index)
            text += " of block " + std::to_string(block);
        return text;
    };
    if (actor < actors.threads) return "thread " + member(actor, actors.block_threads);
    actor -= actors.threads;
    if (actor < actors.threads) return "a copy that thread " + member(actor, actors.block_threads) + " began";
    return "a wgmma of warp " + member(actor - actors.threads, actors.block_warps);
}

}  // namespace pylayers::emulator::race
