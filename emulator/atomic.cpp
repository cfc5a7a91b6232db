// The bodies of atomics, flags and fences of global memory. Nothing else runs between two primitives, so they need no
// more than that.
#include <algorithm>
#include <utility>

#include "emulator/gather.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers::ptx {

using emulator::current;
using emulator::group;
using emulator::Site;

namespace {

void check_aligned(void const* address, int bytes, Site const& site) {
    if (reinterpret_cast<std::uintptr_t>(address) % bytes) group->fail(to_string(site) + ": the address is misaligned");
}

// Who waits for a flag looks again.
void wake_flags() {
    group->progress();
    for (emulator::Thread* t = std::exchange(group->flag_waiting, nullptr); t;) {
        group->wake(*t);
        t = std::exchange(t->next_waiting, nullptr);
    }
}

}  // namespace

namespace {

template <class T, class Operation>
T change(char const* instruction, T* address, Where const& where, Operation operation) {
    group->give_way();
    check_aligned(address, sizeof *address, emulator::locate(instruction, where));
    T const old = *address;
    *address = operation(old);
    emulator::race::atomic(*current, address);
    wake_flags();
    return old;
}

}  // namespace

uint32_t atomic_increment(uint32_t* counter, uint32_t limit, Where where) {
    return change("atomic_increment", counter, where, [&](uint32_t old) { return old >= limit ? 0 : old + 1; });
}

template <Atomic T> T atomic_add(T* address, T value, Where where) {
    return change("atomic_add", address, where, [&](T old) { return old + value; });
}
template float atomic_add(float*, float, Where);
template int32_t atomic_add(int32_t*, int32_t, Where);
template uint32_t atomic_add(uint32_t*, uint32_t, Where);

template <Atomic T>
    requires(!std::is_same_v<T, float>)
T atomic_max(T* address, T value, Where where) {
    return change("atomic_max", address, where, [&](T old) { return std::max(old, value); });
}
template int32_t atomic_max(int32_t*, int32_t, Where);
template uint32_t atomic_max(uint32_t*, uint32_t, Where);

void fence_device(Where where) {
    Site& site = emulator::visit("fence_device", where);
    if (site.dropped) return;
    emulator::race::fence(*current);
    group->give_way();
}

void store_release(uint32_t* flag, uint32_t value, Where where) {
    Site& site = emulator::visit("store_release", where);
    if (site.dropped) return;
    group->give_way();
    check_aligned(flag, sizeof *flag, site);
    emulator::race::fence(*current);
    emulator::race::store_release(*current, flag);
    *flag = value;
    wake_flags();
    group->give_way();
}

uint32_t load_acquire(uint32_t const* flag, Where where) {
    Site& site = emulator::locate("load_acquire", where);
    group->poll(site);
    check_aligned(flag, sizeof *flag, site);
    emulator::race::atomic(*current, flag);
    emulator::race::fence(*current);
    return *flag;
}

void wait_flag(uint32_t const* flag, uint32_t value, Where where) {
    Site& site = emulator::visit("wait_flag", where);
    if (site.dropped) return;
    group->give_way();
    check_aligned(flag, sizeof *flag, site);
    while (*flag != value) {
        current->site = &site;
        current->next_waiting = std::exchange(group->flag_waiting, current);
        group->wait();
    }
    emulator::race::atomic(*current, flag);
    emulator::race::fence(*current);
}

}  // namespace pylayers::ptx
