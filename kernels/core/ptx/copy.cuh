// Copies between global and shared memory and the barriers they complete on: cp.async, mbarrier, TMA.
#pragma once

namespace pylayers::ptx {

// ----------------------------------------------------------------------------------------------- cp.async

// Bytes (4, 8 or 16, both sides aligned to it) from global to shared memory; those from `source_bytes` on become zero,
// and with 0 the source is not read.
template <int Bytes> DEVICE void cp_async(void* to, void const* from, int source_bytes = Bytes) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
    if constexpr (Bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                     "r"(source_bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(Bytes),
                     "r"(source_bytes)
                     : "memory");
}
// The copies of this thread since the last commit become a group.
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most N groups of this thread are under way.
template <int N> DEVICE void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// ----------------------------------------------------------------------------------------------- mbarrier

DEVICE void mbarrier_init(Mbarrier* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// Makes the initialisation visible to the cluster and to asynchronous copies; a barrier of the threads must follow.
DEVICE void fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

DEVICE void mbarrier_arrive(Mbarrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives at the barrier of the same place in block `rank` of the cluster.
DEVICE void mbarrier_arrive_cluster(Mbarrier* barrier, int rank) {
    asm volatile(
        "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;"
        " mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];}" ::"r"(shared_address(barrier)),
        "r"(rank)
        : "memory");
}
// Arrives, and lets the phase wait for `bytes` more.
DEVICE void mbarrier_arrive_expect_tx(Mbarrier* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
DEVICE void mbarrier_expect_tx(Mbarrier* barrier, int bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
// Arrives when all cp.async of this thread so far have landed; counted among the arrivals of `mbarrier_init`.
DEVICE void cp_async_mbarrier_arrive(Mbarrier* barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Whether the phase of this parity is over.
DEVICE bool mbarrier_test(Mbarrier* barrier, int parity) {
    uint32_t over;
    asm volatile(
        "{.reg .pred p; mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p;}"
        : "=r"(over)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
    return over != 0;
}
// Waits for the end of the phase of this parity: 0 for the first, and parity 1 is over before the first has begun.
DEVICE void mbarrier_wait(Mbarrier* barrier, int parity) {
    uint32_t over;
    do
        asm volatile(
            "{.reg .pred p; mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p;}"
            : "=r"(over)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    while (!over);
}
// The same where other blocks of the cluster arrive.
DEVICE void mbarrier_wait_cluster(Mbarrier* barrier, int parity) {
    uint32_t over;
    do
        asm volatile(
            "{.reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;"
            " selp.b32 %0, 1, 0, p;}"
            : "=r"(over)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    while (!over);
}

// ---------------------------------------------------------------------------------------------------- TMA

// Makes this thread's accesses to shared memory visible to TMA and wgmma, which go by another way.
DEVICE void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

DEVICE void tma_prefetch(TensorMap const* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }

// One statement for each rank: operands 0 to 4 are given, the coordinates follow.
#define TMA_BY_RANK(before, after, ...)                                                                             \
    static_assert(Rank >= 2 && Rank <= 5);                                                                          \
    if constexpr (Rank == 2) asm volatile(before "{%5, %6}" after::__VA_ARGS__, "r"(at[0]), "r"(at[1]) : "memory"); \
    if constexpr (Rank == 3)                                                                                        \
        asm volatile(before "{%5, %6, %7}" after::__VA_ARGS__, "r"(at[0]), "r"(at[1]), "r"(at[2]) : "memory");      \
    if constexpr (Rank == 4)                                                                                        \
        asm volatile(before "{%5, %6, %7, %8}" after::__VA_ARGS__, "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3])   \
                     : "memory");                                                                                   \
    if constexpr (Rank == 5)                                                                                        \
    asm volatile(before "{%5, %6, %7, %8, %9}" after::__VA_ARGS__, "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]),  \
                 "r"(at[4])                                                                                         \
                 : "memory")

// The box of `map` whose first element has these coordinates, innermost first, to `to`; its bytes count on `barrier`.
// What lies outside the tensor is zero and counts too. One thread calls it.
template <int Rank> DEVICE void tma_load(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank]) {
    TMA_BY_RANK("cp.async.bulk.tensor.%3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, ",
                "], [%2];", "r"(shared_address(to)), "l"(map), "r"(shared_address(barrier)), "n"(Rank), "n"(0));
}

// The same to the same place of every block of the cluster whose bit is set, each counting on its own barrier.
template <int Rank>
DEVICE void tma_load_multicast(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank],
                               uint16_t blocks) {
    TMA_BY_RANK(
        "cp.async.bulk.tensor.%3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, ",
        "], [%2], %4;", "r"(shared_address(to)), "l"(map), "r"(shared_address(barrier)), "n"(Rank), "h"(blocks));
}

// Pixels of an image for one tap of a filter: `at` is (channel, ..., image) of the first pixel, `tap` the offset of the
// tap in each spatial dimension, innermost first. The map says how many pixels and channels, and how the filter moves.
template <int Rank>
DEVICE void tma_load_im2col(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank],
                            uint16_t const (&tap)[Rank - 2]) {
    static_assert(Rank >= 3 && Rank <= 5);
#define TMA_IM2COL(coordinates, taps, ...)                                                                             \
    asm volatile(                                                                                                      \
        "cp.async.bulk.tensor.%3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {" coordinates \
        "}], [%2], {" taps "};" ::"r"(shared_address(to)),                                                             \
        "l"(map), "r"(shared_address(barrier)), "n"(Rank), __VA_ARGS__                                                 \
        : "memory")
    if constexpr (Rank == 3) TMA_IM2COL("%4, %5, %6", "%7", "r"(at[0]), "r"(at[1]), "r"(at[2]), "h"(tap[0]));
    if constexpr (Rank == 4)
        TMA_IM2COL("%4, %5, %6, %7", "%8, %9", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "h"(tap[0]),
                   "h"(tap[1]));
    if constexpr (Rank == 5)
        TMA_IM2COL("%4, %5, %6, %7, %8", "%9, %10, %11", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]),
                   "h"(tap[0]), "h"(tap[1]), "h"(tap[2]));
#undef TMA_IM2COL
}

namespace detail {
template <TmaStore> struct StoreWords {
    static constexpr char reduce[] = "", operation[] = "";
};
template <> struct StoreWords<TmaStore::kAdd> {
    static constexpr char reduce[] = ".reduce", operation[] = ".add";
};
template <> struct StoreWords<TmaStore::kMin> {
    static constexpr char reduce[] = ".reduce", operation[] = ".min";
};
template <> struct StoreWords<TmaStore::kMax> {
    static constexpr char reduce[] = ".reduce", operation[] = ".max";
};
}  // namespace detail

// The box at `from` to the tensor, or combined with it; what would lie outside is not written. One thread calls it, and
// the copy belongs to its next group.
template <int Rank, TmaStore How = TmaStore::kWrite>
DEVICE void tma_store(TensorMap const* map, void const* from, int32_t const (&at)[Rank]) {
    TMA_BY_RANK("cp%3.async.bulk.tensor.%2d.global.shared::cta%4.tile.bulk_group [%0, ", "], [%1];", "l"(map),
                "r"(shared_address(from)), "n"(Rank), "C"(detail::StoreWords<How>::reduce),
                "C"(detail::StoreWords<How>::operation));
}
// This thread's stores since the last commit become a group.
DEVICE void tma_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until at most N groups of this thread still read shared memory, or (`tma_wait`) are not yet in global memory.
template <int N> DEVICE void tma_wait_read() { asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory"); }
template <int N> DEVICE void tma_wait() { asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory"); }

// `bytes`, a multiple of 16 between addresses that are, without a map.
DEVICE void bulk_load(void* to, void const* from, int bytes, Mbarrier* barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}
DEVICE void bulk_store(void* to, void const* from, int bytes) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(shared_address(from)),
                 "r"(bytes)
                 : "memory");
}

#undef TMA_BY_RANK

}  // namespace pylayers::ptx
