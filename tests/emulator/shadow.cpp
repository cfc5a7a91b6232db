// Cells of shadow memory in pages, and the entry points that -fsanitize=thread calls (libtsan is not linked).
#include "emulator/shadow.hpp"

#include <array>
#include <bitset>
#include <memory>
#include <string>
#include <unordered_map>

#include "emulator/block.hpp"
#include "emulator/report.hpp"

namespace pylayers::emulator::shadow {
namespace {

struct Access {
    uint32_t block = 0;
    uint32_t time = 0;  // 0: there was none
    uint32_t instruction = 0;
    uint32_t thread = 0;
};

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

struct Check {
    Access now;
    bool write;
    bool shared;

    // An access that nothing orders before this one. Another block's shared memory is another memory.
    bool races(Access const& earlier) const {
        if (!earlier.time) return false;
        if (earlier.block == now.block)
            return earlier.thread != now.thread && !current->view.knows(earlier.thread, earlier.time);
        return !shared && !current->view.knows(earlier.block, earlier.thread, earlier.time);
    }

    void operator()(Cell& cell, std::uintptr_t address) const {
        if (races(cell.write)) report(cell.write, "write", address);
        if (write) {
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
        if (now.thread / kLanes != cell.reads[0].thread / kLanes) cell.reads[2] = now;
    }

    [[noreturn]] void report(Access const& earlier, char const* kind, std::uintptr_t address) const {
        std::string place = "global memory";
        if (shared) {
            auto const base = reinterpret_cast<std::uintptr_t>(group->shared().data());
            place = "shared memory, byte " + std::to_string(address - base);
        }
        std::string other = "thread " + std::to_string(earlier.thread);
        if (earlier.block != now.block) other += " of block " + std::to_string(earlier.block);
        group->fail("race on " + place + ": this " + (write ? "write" : "read") + " at " +
                    source_line(now.instruction) + "\n  is not ordered after the " + kind + " by " + other + " at " +
                    source_line(earlier.instruction));
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

void access(void const* address, int bytes, bool write, void const* instruction) {
    auto const p = static_cast<std::byte const*>(address);
    bool const shared = group->shared().holds(p);
    if (!shared && (current->fiber.on_stack(p) || (p >= params && p < params + params_bytes))) return;
    Check const check{
        {uint32_t(current->block->index), current->view.now, low_half(instruction) - 1, uint32_t(current->index)},
        write,
        shared};
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
    if (current) shadow::access(address, bytes, write, instruction);
}
}  // namespace

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
