// Guard pages, and the handler of SIGSEGV and SIGBUS.
#include "emulator/memory.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "emulator/block.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace pylayers::emulator {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kRegion = (kMaxSharedBytes + kPage - 1) / kPage * kPage;
constexpr std::size_t kStride = kRegion + kPage;
constexpr std::size_t kWatched = 256;
static_assert(kRegion - kMaxSharedBytes >= kWatched);

// All regions, each behind a guard page and before the next one's, for all launches.
std::byte* regions() {
    static std::byte* const begin = [] {
        auto const p = static_cast<std::byte*>(mmap(nullptr, kMaxResident * kStride + kPage, PROT_NONE,
                                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (p == MAP_FAILED) throw std::bad_alloc();
        return p;
    }();
    return begin;
}

// The end of a region, which can be touched from now on.
std::byte* region_end(int number) {
    static std::array<bool, kMaxResident> opened{};
    std::byte* const begin = regions() + number * kStride + kPage;
    if (!opened[number] && mprotect(begin, kRegion, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    opened[number] = true;
    return begin + kRegion;
}

}  // namespace

SharedMemory::SharedMemory(int number, int bytes) : begin_(region_end(number) - bytes), bytes_(bytes) {
    ASAN_POISON_MEMORY_REGION(begin_ - kWatched, kWatched);
}

SharedMemory::~SharedMemory() {
    open();
    ASAN_UNPOISON_MEMORY_REGION(begin_ - kWatched, kWatched);
}

std::size_t SharedMemory::number_at(void const* p) {
    return std::size_t(static_cast<std::byte const*>(p) - regions()) / kStride;
}

void SharedMemory::poison() {
    ASAN_UNPOISON_MEMORY_REGION(begin_ - kWatched, kWatched);
    std::memset(begin_ - kWatched, 0xff, kWatched + bytes_);
    ASAN_POISON_MEMORY_REGION(begin_ - kWatched, kWatched);
}

bool SharedMemory::intact() const {
#if defined(__SANITIZE_ADDRESS__)
    return true;  // a write there has already been reported
#else
    return std::all_of(begin_ - kWatched, begin_, [](std::byte b) { return b == std::byte{0xff}; });
#endif
}

void SharedMemory::close() {
    std::byte* const end = begin_ + bytes_;
    if (mprotect(end - kRegion, kRegion, PROT_NONE)) throw std::bad_alloc();
    closed_ = true;
}

void SharedMemory::open() {
    if (!closed_) return;
    std::byte* const end = begin_ + bytes_;
    if (mprotect(end - kRegion, kRegion, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    closed_ = false;
}

// ------------------------------------------------------------------------------------------------- faults

namespace {

std::optional<Fault> fault;
pthread_t owner;
struct sigaction previous_segv, previous_bus;
std::array<std::byte, 64 << 10> handler_stack;  // the fiber's own may be what overflowed

Fault fault_at(void* address, [[maybe_unused]] ucontext_t const& context) {
#if defined(__x86_64__)
    auto const& registers = context.uc_mcontext.gregs;
    return {address, reinterpret_cast<void*>(registers[REG_RIP]),
            registers[REG_ERR] & 2 ? Fault::Access::kWrite : Fault::Access::kRead};
#else
    return {address, nullptr, Fault::Access::kUnknown};
#endif
}

void handle(int signal, siginfo_t* info, void* context) {
    if (!current || !pthread_equal(pthread_self(), owner)) {
        // The instruction faults again, for the handler that was there before.
        sigaction(signal, signal == SIGSEGV ? &previous_segv : &previous_bus, nullptr);
        return;
    }
    fault = fault_at(info->si_addr, *static_cast<ucontext_t*>(context));
    stopped = true;
    current->fiber.leave();
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__)
FaultTrap::FaultTrap() {}  // AddressSanitizer reports faults itself
FaultTrap::~FaultTrap() {}
#else
FaultTrap::FaultTrap() {
    owner = pthread_self();
    stack_t stack{};
    stack.ss_sp = handler_stack.data();
    stack.ss_size = handler_stack.size();
    sigaltstack(&stack, &previous_stack_);
    struct sigaction action{};
    action.sa_sigaction = handle;
    // The handler does not return, so the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &previous_segv);
    sigaction(SIGBUS, &action, &previous_bus);
}

FaultTrap::~FaultTrap() {
    sigaction(SIGSEGV, &previous_segv, nullptr);
    sigaction(SIGBUS, &previous_bus, nullptr);
    sigaltstack(&previous_stack_, nullptr);
}
#endif

std::optional<Fault> FaultTrap::take() { return std::exchange(fault, std::nullopt); }

}  // namespace pylayers::emulator
