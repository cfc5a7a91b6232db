// Cells of shadow memory in pages, and the entry points that -fsanitize=thread calls (libtsan is not linked).
#include "emulator/shadow.hpp"

#include <array>
#include <bitset>
#include <memory>
#include <string>
#include <unordered_map>

#include "emulator/block.hpp"
#include "emulator/clocks.hpp"
#include "emulator/report.hpp"

namespace pylayers::emulator::shadow {
namespace {

struct Access {
    uint32_t cluster = 0;  // its first block
    uint32_t time = 0;     // 0: there was none
    uint32_t place = 0;
    uint32_t actor = 0;
};

constexpr uint32_t kPlaceIsSite = 1u << 30;  // in the actor of an Access

// Three readers: two of one warp, and one of another, are enough to find a write that a warp or block barrier should
// have kept from them.
struct Cell {
    Access write;
    Access reads[3];
};

constexpr std::uintptr_t kPageBytes = 4096, kWordBytes = 4;
constexpr std::size_t kMostPages = 4096;  // kept from launch to launch: 256 MB

struct Page {
    uint64_t launch = 0;
    Cell words[kPageBytes / kWordBytes];
    std::bitset<kPageBytes / kWordBytes> split;  // words that have been accessed in part: their bytes have cells
    std::unique_ptr<Cell[]> bytes;
};

uint64_t launch_number = 0;
std::byte const* params;
int params_bytes;
std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages;
std::array<std::pair<std::uintptr_t, Page*>, 256> recent;

Page& find_page(std::uintptr_t number) {
    auto& page = pages[number];
    if (!page) page = std::make_unique<Page>();
    if (page->launch != launch_number) {
        page->launch = launch_number;
        std::fill(std::begin(page->words), std::end(page->words), Cell{});
        page->split.reset();
    }
    return *page;
}

Page& page_of(std::uintptr_t address) {
    std::uintptr_t const number = address / kPageBytes;
    auto& [cached, page] = recent[number % recent.size()];
    if (cached != number) {
        cached = number;
        page = &find_page(number);
    }
    return *page;
}

// Whether what the origin knows, of itself and of others, holds this time of this actor.
bool knows(Origin const& o, uint32_t actor, uint32_t time) {
    race::View const& v = *o.view;
    if (v.cluster && (*v.cluster)[actor] >= time) return true;
    if (!o.thread) return false;
    if (actor == race::thread_actor(*o.thread)) return true;
    if (!race::actors.asynchronous) return false;
    if (actor == race::copies_actor(*o.thread)) return v.done >= time;
    if (actor == race::warp_actor(*o.thread)) return v.multiplied >= time;
    return false;
}

// Whether the asynchronous proxy sees what this actor wrote by ordinary instructions.
bool sees(Origin const& o, uint32_t actor, uint32_t time) {
    race::View const& v = *o.view;
    if (v.cluster && (*v.cluster)[race::actors.fence_of(actor)] >= time) return true;
    if (!o.thread) return false;
    if (actor == race::thread_actor(*o.thread)) return v.fenced >= time;
    return actor == race::copies_actor(*o.thread) && v.done_fenced >= time;
}

struct Check {
    Origin const& origin;
    Access now;
    race::Access kind;
    Block* owner;  // of the shared memory; null: global memory

    static uint32_t actor_of(Access const& a) { return a.actor & ~(kProxy | kPlaceIsSite); }

    // An access that nothing orders before this one. Another cluster's shared memory is another memory.
    bool races(Access const& earlier) const {
        if (!earlier.time) return false;
        uint32_t const actor = actor_of(earlier);
        if (earlier.cluster == now.cluster) {
            // What a thread or warp has begun is not ordered among itself, unless it has waited between.
            if (actor == actor_of(now) && (actor < race::actors.threads || earlier.time == now.time)) return false;
            return !knows(origin, actor, earlier.time);
        }
        if (owner || !origin.view->others) return !owner;
        auto const known = origin.view->others->find(earlier.cluster);
        return known == origin.view->others->end() || (*known->second)[actor] < earlier.time;
    }

    // A write by ordinary instructions that this access by the asynchronous proxy need not see.
    bool is_unseen(Access const& write) const {
        return owner && now.actor & kProxy && write.time && !(write.actor & kProxy) && write.cluster == now.cluster &&
               !sees(origin, actor_of(write), write.time);
    }

    void operator()(Cell& cell, std::uintptr_t address) const {
        if (races(cell.write)) report(cell.write, "write", address);
        if (kind == race::Access::kUse) return;
        if (is_unseen(cell.write)) report_unseen(cell.write, address);
        if (kind == race::Access::kWrite) {
            for (Access const& read : cell.reads)
                if (races(read)) report(read, "read", address);
            cell = {now, {}};
            return;
        }
        for (Access& read : cell.reads)
            if (!races(read)) {
                read = now;
                return;
            }
        if (now.actor / kLanes != cell.reads[0].actor / kLanes) cell.reads[2] = now;
    }

    std::string where(uint32_t place, bool is_site) const {
        return is_site ? to_string(site_of(place)) : source_line(place);
    }

    std::string here(std::uintptr_t address) const {
        std::string text = " memory: this ";
        if (owner) {
            auto const base = reinterpret_cast<std::uintptr_t>(owner->shared.data());
            text = " memory, byte " + std::to_string(address - base) + ": this ";
        }
        text = (owner ? "race on shared" : "race on global") + text;
        text += kind == race::Access::kWrite ? "write" : kind == race::Access::kRead ? "read" : "use of an mbarrier";
        if (actor_of(now) >= race::actors.threads) text += " by " + race::name(actor_of(now), now.cluster);
        return text + " at " + where(now.place, origin.place & kSite);
    }

    std::string there(Access const& earlier) const {
        return race::name(actor_of(earlier), earlier.cluster) + " at " +
               where(earlier.place, earlier.actor & kPlaceIsSite);
    }

    [[noreturn]] void report(Access const& earlier, char const* kind_of_earlier, std::uintptr_t address) const {
        group->fail(here(address) + "\n  is not ordered after the " + kind_of_earlier + " by " + there(earlier));
    }

    [[noreturn]] void report_unseen(Access const& earlier, std::uintptr_t address) const {
        group->fail(here(address) + "\n  does not see the write by " + there(earlier) +
                    "\n  which was not followed by fence_proxy_async");
    }
};

}  // namespace

void start_launch(void const* address, int bytes) {
    ++launch_number;
    recent.fill({});
    if (pages.size() > kMostPages) pages.clear();
    params = static_cast<std::byte const*>(address);
    params_bytes = bytes;
}

void access(Origin const& origin, void const* address, int bytes, race::Access kind) {
    auto const p = static_cast<std::byte const*>(address);
    Block& block = *current->block;
    Block* const owner = block.shared.holds(p) ? &block : group->holding(p);
    // What is about to overflow the stack faults by itself: a page of cells for it would be allocated on that very
    // stack.
    if (!owner &&
        (current->fiber.on_stack(p) || current->fiber.on_guard(p) || (p >= params && p < params + params_bytes)))
        return;
    bool const is_site = origin.place & kSite;
    Access const now{uint32_t(block.cluster->first), origin.time, uint32_t(origin.place),
                     origin.actor | (is_site ? kPlaceIsSite : 0)};
    if (owner && owner != &block) {
        uint32_t& touched = owner->leaving.touched[origin.actor & ~kProxy];
        touched = std::max(touched, origin.time);
    }
    Check const check{origin, now, kind, owner};
    auto const first = reinterpret_cast<std::uintptr_t>(address), last = first + bytes;
    for (std::uintptr_t word = first / kWordBytes * kWordBytes; word < last; word += kWordBytes) {
        Page& page = page_of(word);
        std::uintptr_t const offset = word % kPageBytes, index = offset / kWordBytes;
        bool const whole = first <= word && word + kWordBytes <= last;
        if (whole && !page.split[index]) {
            check(page.words[index], word);
            continue;
        }
        if (!page.bytes) page.bytes = std::make_unique<Cell[]>(kPageBytes);
        if (!page.split[index]) {
            page.split.set(index);
            std::fill_n(&page.bytes[offset], kWordBytes, page.words[index]);
        }
        for (std::uintptr_t byte = std::max(first, word); byte < std::min(last, word + kWordBytes); ++byte)
            check(page.bytes[byte % kPageBytes], byte);
    }
}

}  // namespace pylayers::emulator::shadow

// ------------------------------------------------------------------------- what the compiler's instrumentation calls

namespace {
inline void access(void const* address, int bytes, bool write, void const* instruction) {
    using namespace pylayers::emulator;
    if (!current) return;
    shadow::access(
        {&current->view, current, race::thread_actor(*current), current->view.now, low_half(instruction) - 1}, address,
        bytes, write ? race::Access::kWrite : race::Access::kRead);
}
}  // namespace

// Of -fsanitize=alignment (libubsan is not linked): an access to p as to something that lies at larger multiples.
struct Misaligned {
    char const* file;
    uint32_t line, column;
    void const* type;
    unsigned char log_alignment, kind;
};
extern "C" void __ubsan_handle_type_mismatch_v1(Misaligned const* what, void const* p) {
    using namespace pylayers::emulator;
    if (!current) return;
    group->fail("misaligned address: this access at " + std::string(what->file) + ":" + std::to_string(what->line) +
                " is to a multiple of " + std::to_string(1 << what->log_alignment) + " bytes, got one off by " +
                std::to_string(reinterpret_cast<std::uintptr_t>(p) % (1u << what->log_alignment)));
}

#define HOOK(name, bytes, write) \
    extern "C" void __tsan_##name(void* p) { access(p, bytes, write, __builtin_return_address(0)); }
#define HOOKS(bytes)                          \
    HOOK(read##bytes, bytes, false)           \
    HOOK(write##bytes, bytes, true)           \
    HOOK(unaligned_read##bytes, bytes, false) \
    HOOK(unaligned_write##bytes, bytes, true)
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16) extern "C" void __tsan_read_range(void* p, long bytes) {
    access(p, int(bytes), false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(void* p, long bytes) { access(p, int(bytes), true, __builtin_return_address(0)); }
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
extern "C" void __tsan_init() {}

// Host code of csrc/ (guards of function statics, shared pointers): plain atomics.
#define ATOMICS(bits, T)                                                                                               \
    extern "C" T __tsan_atomic##bits##_load(T const volatile* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); } \
    extern "C" void __tsan_atomic##bits##_store(T volatile* p, T x, int) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); } \
    extern "C" T __tsan_atomic##bits##_exchange(T volatile* p, T x, int) {                                             \
        return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);                                                            \
    }                                                                                                                  \
    extern "C" T __tsan_atomic##bits##_fetch_add(T volatile* p, T x, int) {                                            \
        return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                  \
    extern "C" T __tsan_atomic##bits##_fetch_sub(T volatile* p, T x, int) {                                            \
        return __atomic_fetch_sub(p, x, __ATOMIC_SEQ_CST);                                                             \
    }                                                                                                                  \
    extern "C" bool __tsan_atomic##bits##_compare_exchange_strong(T volatile* p, T* e, T x, int, int) {                \
        return __atomic_compare_exchange_n(p, e, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                        \
    }
ATOMICS(8, uint8_t) ATOMICS(32, uint32_t) ATOMICS(64, uint64_t)
