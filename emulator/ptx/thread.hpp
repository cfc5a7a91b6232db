// Threads and what they meet at: indices, barriers, shuffles, atomics, fences, clusters, registers.
#pragma once

namespace pylayers::ptx {

// ------------------------------------------------------------------------------------------------ target

constexpr bool compiled_for(Target) { return true; }

[[noreturn]] void trap(Where where = Where::current());

// ------------------------------------------------------------------------------------------------ thread

int thread_index();
int64_t block_index();
int64_t block_count();

// ------------------------------------------------------------------------------------------ shared memory

uint32_t shared_address(void const* p, Where where = Where::current());

// ------------------------------------------------------------------------------------- barriers, shuffles

void sync_block(Where where = Where::current());
void sync_warp(Where where = Where::current());
void barrier_sync(int barrier, int threads, Where where = Where::current());
void barrier_arrive(int barrier, int threads, Where where = Where::current());

namespace detail {
// Hands `value` to the warp and writes to `result` what lane `source` handed over.
void exchange(char const* instruction, void const* value, void* result, int bytes, int source, Where const& where);
int lane();
}  // namespace detail

template <class T> T shuffle_xor(T value, int lanes, Where where = Where::current()) {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    T result;
    detail::exchange("shuffle_xor", &value, &result, sizeof(T), detail::lane() ^ lanes, where);
    return result;
}

template <class T> T shuffle(T value, int source, Where where = Where::current()) {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    T result;
    detail::exchange("shuffle", &value, &result, sizeof(T), source, where);
    return result;
}

uint32_t ballot(bool predicate, Where where = Where::current());

// Which lane is the schedule's choice: PTX does not say.
bool elect_one(Where where = Where::current());

// ------------------------------------------------------------------------------------------------ atomics

uint32_t atomic_increment(uint32_t* counter, uint32_t limit, Where where = Where::current());

template <class T>
concept Atomic = std::is_same_v<T, float> || std::is_same_v<T, int32_t> || std::is_same_v<T, uint32_t>;

template <Atomic T> T atomic_add(T* address, T value, Where where = Where::current());
// The chip has none of floats.
template <Atomic T>
    requires(!std::is_same_v<T, float>)
T atomic_max(T* address, T value, Where where = Where::current());

void fence_device(Where where = Where::current());

void store_release(uint32_t* flag, uint32_t value, Where where = Where::current());
uint32_t load_acquire(uint32_t const* flag, Where where = Where::current());
void wait_flag(uint32_t const* flag, uint32_t value, Where where = Where::current());

// ----------------------------------------------------------------------------------------------- clusters

int cluster_rank();
int cluster_size();
void cluster_arrive(Where where = Where::current());
void cluster_wait(Where where = Where::current());

namespace detail {
void* cluster_map(void* p, int bytes, int rank, Where const& where);
}

template <class T> T* cluster_map(T* p, int rank, Where where = Where::current()) {
    return static_cast<T*>(detail::cluster_map(p, sizeof(T), rank, where));
}

// ---------------------------------------------------------------------------------- registers, grid order

namespace detail {
void set_registers(int registers, bool more, Where const& where);
}

template <int Registers> void setmaxnreg_dec(Where where = Where::current()) {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
    detail::set_registers(Registers, false, where);
}
template <int Registers> void setmaxnreg_inc(Where where = Where::current()) {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
    detail::set_registers(Registers, true, where);
}

// Launches run one after another.
inline void griddepcontrol_launch_dependents() {}
inline void griddepcontrol_wait() {}

}  // namespace pylayers::ptx
