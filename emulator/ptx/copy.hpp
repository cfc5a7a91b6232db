// Copies between global and shared memory and the barriers they complete on: cp.async, mbarrier, TMA.
#pragma once

namespace pylayers::ptx {

// ----------------------------------------------------------------------------------------------- cp.async

namespace detail {
void cp_async(void* to, void const* from, int bytes, int source_bytes, Where const& where);
void cp_async_wait(int groups, Where const& where);
}  // namespace detail

template <int Bytes>
void cp_async(void* to, void const* from, int source_bytes = Bytes, Where where = Where::current()) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
    detail::cp_async(to, from, Bytes, source_bytes, where);
}
void cp_async_commit(Where where = Where::current());
template <int N> void cp_async_wait(Where where = Where::current()) { detail::cp_async_wait(N, where); }

// ----------------------------------------------------------------------------------------------- mbarrier

void mbarrier_init(Mbarrier* barrier, int arrivals, Where where = Where::current());
void fence_mbarrier_init(Where where = Where::current());
void mbarrier_arrive(Mbarrier* barrier, Where where = Where::current());
void mbarrier_arrive_cluster(Mbarrier* barrier, int rank, Where where = Where::current());
void mbarrier_arrive_expect_tx(Mbarrier* barrier, int bytes, Where where = Where::current());
void mbarrier_expect_tx(Mbarrier* barrier, int bytes, Where where = Where::current());
void cp_async_mbarrier_arrive(Mbarrier* barrier, Where where = Where::current());
bool mbarrier_test(Mbarrier* barrier, int parity, Where where = Where::current());
void mbarrier_wait(Mbarrier* barrier, int parity, Where where = Where::current());
void mbarrier_wait_cluster(Mbarrier* barrier, int parity, Where where = Where::current());

// ---------------------------------------------------------------------------------------------------- TMA

void fence_proxy_async(Where where = Where::current());
void tma_prefetch(TensorMap const* map, Where where = Where::current());

namespace detail {
// A box of `rank` dimensions; `tap` is im2col's or null, bit b of `blocks` says that it goes to block b of the cluster.
struct Box {
    TensorMap const* map;
    int rank;
    int32_t const* at;
    uint16_t const* tap = nullptr;
};
void tma_load(char const* instruction, void* to, Box const& box, Mbarrier* barrier, uint16_t blocks,
              Where const& where);
void tma_store(Box const& box, void const* from, TmaStore how, Where const& where);
void tma_wait(char const* instruction, int groups, bool written, Where const& where);
uint16_t own_block();
}  // namespace detail

template <int Rank>
void tma_load(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank],
              Where where = Where::current()) {
    static_assert(Rank >= 2 && Rank <= 5);
    detail::tma_load("tma_load", to, {map, Rank, at}, barrier, detail::own_block(), where);
}

template <int Rank>
void tma_load_multicast(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank], uint16_t blocks,
                        Where where = Where::current()) {
    static_assert(Rank >= 2 && Rank <= 5);
    detail::tma_load("tma_load_multicast", to, {map, Rank, at}, barrier, blocks, where);
}

template <int Rank>
void tma_load_im2col(void* to, TensorMap const* map, Mbarrier* barrier, int32_t const (&at)[Rank],
                     uint16_t const (&tap)[Rank - 2], Where where = Where::current()) {
    static_assert(Rank >= 3 && Rank <= 5);
    detail::tma_load("tma_load_im2col", to, {map, Rank, at, tap}, barrier, detail::own_block(), where);
}

template <int Rank, TmaStore How = TmaStore::kWrite>
void tma_store(TensorMap const* map, void const* from, int32_t const (&at)[Rank], Where where = Where::current()) {
    static_assert(Rank >= 2 && Rank <= 5);
    detail::tma_store({map, Rank, at}, from, How, where);
}
void tma_commit(Where where = Where::current());
template <int N> void tma_wait_read(Where where = Where::current()) {
    detail::tma_wait("tma_wait_read", N, false, where);
}
template <int N> void tma_wait(Where where = Where::current()) { detail::tma_wait("tma_wait", N, true, where); }

void bulk_load(void* to, void const* from, int bytes, Mbarrier* barrier, Where where = Where::current());
void bulk_store(void* to, void const* from, int bytes, Where where = Where::current());

}  // namespace pylayers::ptx
