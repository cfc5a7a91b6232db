// Threads and what they meet at: indices, conversions, barriers, shuffles, atomics, fences, clusters, registers.
#pragma once

namespace pylayers::ptx {

// ------------------------------------------------------------------------------------------------ target

// Whether this pass of the compiler may contain instructions of `target`.
DEVICE constexpr bool compiled_for(Target target) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    return true;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return target != Target::kSm90a;
#else
    return target == Target::kAny;
#endif
}

DEVICE void trap() { asm volatile("trap;"); }

// ------------------------------------------------------------------------------------------------ thread

DEVICE int thread_index() { return int(threadIdx.x); }
DEVICE int64_t block_index() { return blockIdx.x; }
DEVICE int64_t block_count() { return gridDim.x; }

// --------------------------------------------------------------------------------------------- conversion

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __bfloat162float(x); }
DEVICE float to_float(fp16 x) { return __half2float(x); }
DEVICE float to_float(e4m3 x) { return float(x); }
DEVICE float to_float(e5m2 x) { return float(x); }
DEVICE float to_float(int32_t x) { return float(x); }

// Rounds to nearest, ties to even. What is too large becomes infinite in 16 bits, the largest number of its sign in 8.
template <class T> DEVICE T from_float(float x);
template <> DEVICE float from_float<float>(float x) { return x; }
template <> DEVICE bf16 from_float<bf16>(float x) { return __float2bfloat16_rn(x); }
template <> DEVICE fp16 from_float<fp16>(float x) { return __float2half_rn(x); }
template <> DEVICE e4m3 from_float<e4m3>(float x) { return e4m3(x); }
template <> DEVICE e5m2 from_float<e5m2>(float x) { return e5m2(x); }

// The nearest tf32, ties away from zero, in a float's bits.
DEVICE uint32_t round_to_tf32(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

DEVICE uint32_t float_bits(float x) { return __float_as_uint(x); }
DEVICE float float_from_bits(uint32_t bits) { return __uint_as_float(bits); }

// ------------------------------------------------------------------------------------------ shared memory

template <class Storage> DEVICE Storage& shared_storage() {
    extern __shared__ __align__(1024) unsigned char shared_bytes[];
    return *reinterpret_cast<Storage*>(shared_bytes);
}

// The address of shared memory that instructions and matrix descriptors take.
DEVICE uint32_t shared_address(void const* p) { return uint32_t(__cvta_generic_to_shared(p)); }

// ------------------------------------------------------------------------------------- barriers, shuffles

// Every thread of the block; orders its memory accesses.
DEVICE void sync_block() { __syncthreads(); }

// Every lane of the warp; orders its memory accesses.
DEVICE void sync_warp() { __syncwarp(kFullWarp); }

// Barrier 1 to 15 of the block (0 is sync_block's): waits for `threads` threads, whole warps, counting those that only
// arrive. Orders the memory accesses of all of them before those of the ones that wait.
DEVICE void barrier_sync(int barrier, int threads) {
    asm volatile("barrier.cta.sync.aligned %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
DEVICE void barrier_arrive(int barrier, int threads) {
    asm volatile("barrier.cta.arrive.aligned %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// The value of the lane whose number differs by `lanes` in its bits. Does not order memory.
template <class T> DEVICE T shuffle_xor(T value, int lanes) { return __shfl_xor_sync(kFullWarp, value, lanes); }

// The value of lane `source`. Does not order memory.
template <class T> DEVICE T shuffle(T value, int source) { return __shfl_sync(kFullWarp, value, source); }

// Bit i is the predicate of lane i. Does not order memory.
DEVICE uint32_t ballot(bool predicate) { return __ballot_sync(kFullWarp, predicate); }

// True in one lane of the warp, always the same.
DEVICE bool elect_one() {
    uint32_t elected;
    asm volatile("{.reg .pred p; elect.sync _|p, 0xffffffff; selp.b32 %0, 1, 0, p;}" : "=r"(elected));
    return elected != 0;
}

// ------------------------------------------------------------------------------------------------ atomics

// Adds 1, or sets 0 where the value was `limit`; returns the old value.
DEVICE uint32_t atomic_increment(uint32_t* counter, uint32_t limit) { return atomicInc(counter, limit); }

// Returns the old value. float, int32_t or uint32_t, in global or shared memory; the order of float additions is open.
template <class T> DEVICE T atomic_add(T* address, T value) { return atomicAdd(address, value); }
template <class T> DEVICE T atomic_max(T* address, T value) { return atomicMax(address, value); }

// Orders this thread's memory accesses before and after it for every thread of the device.
DEVICE void fence_device() { __threadfence(); }

// A flag in global memory: what was written before `store_release` is seen after `wait_flag` saw that value.
DEVICE void store_release(uint32_t* flag, uint32_t value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
DEVICE uint32_t load_acquire(uint32_t const* flag) {
    uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}
// Only for blocks that are sure to be resident together.
DEVICE void wait_flag(uint32_t const* flag, uint32_t value) {
    while (load_acquire(flag) != value) __nanosleep(20);
}

// ----------------------------------------------------------------------------------------------- clusters

DEVICE int cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return int(rank);
}
DEVICE int cluster_size() {
    uint32_t size;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return int(size);
}

// Every thread of every block of the cluster; orders their memory accesses.
DEVICE void cluster_arrive() { asm volatile("barrier.cluster.arrive;" ::: "memory"); }
DEVICE void cluster_wait() { asm volatile("barrier.cluster.wait;" ::: "memory"); }

// Where `p`, in this block's shared memory, lies in that of block `rank` of the cluster.
template <class T> DEVICE T* cluster_map(T* p, int rank) {
    T* mapped;
    asm("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(p), "r"(rank));
    return mapped;
}

// ---------------------------------------------------------------------------------- registers, grid order

// All four warps of a warpgroup give registers back to, or take them from, what the launch allocated for the block.
template <int Registers> DEVICE void setmaxnreg_dec() {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers> DEVICE void setmaxnreg_inc() {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

// Lets the next kernel of the stream start; it sees what was written only after its own `griddepcontrol_wait`.
DEVICE void griddepcontrol_launch_dependents() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
// Waits until the kernels before this one are done and their writes seen.
DEVICE void griddepcontrol_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

}  // namespace pylayers::ptx
