// Matrix instructions: ldmatrix, stmatrix, mma.sync and wgmma.
#pragma once

namespace pylayers::emulator::matrix {
enum class Type;
}

namespace pylayers::ptx {

// ------------------------------------------------------------------------------------ ldmatrix, stmatrix

void ldmatrix(uint32_t (&d)[4], void const* row, Where where = Where::current());
void ldmatrix_trans(uint32_t (&d)[4], void const* row, Where where = Where::current());
void stmatrix(void* row, uint32_t const (&s)[4], Where where = Where::current());
void stmatrix_trans(void* row, uint32_t const (&s)[4], Where where = Where::current());

// ----------------------------------------------------------------------------------------------- mma.sync

namespace detail {
template <class T> emulator::matrix::Type type();

void mma(emulator::matrix::Type type, void* d, uint32_t const (&a)[4], uint32_t const (&b)[2], Where const& where);
}  // namespace detail

template <class T>
void mma(Accumulator<T> (&d)[4], uint32_t const (&a)[4], uint32_t const (&b)[2], Where where = Where::current()) {
    detail::mma(detail::type<T>(), d, a, b, where);
}

// -------------------------------------------------------------------------------------------------- wgmma

void wgmma_fence(Where where = Where::current());
void wgmma_commit(Where where = Where::current());

namespace detail {
// One thread's side of a wgmma; `a` is a descriptor unless `registers` are given.
struct Wgmma {
    emulator::matrix::Type a_type, b_type;
    Major a_major, b_major;
    int n;
    bool accumulate;
    uint64_t a, b;
    uint32_t const* registers;
    void* d;
};
void wgmma(Wgmma const& operation, Where const& where);
void wgmma_wait(int groups, Where const& where);
}  // namespace detail

template <int N> void wgmma_wait(Where where = Where::current()) { detail::wgmma_wait(N, where); }

template <class T, int N> void keep_registers(T (&)[N]) {}

template <class A, class B, int N, Major kA = Major::kK, Major kB = Major::kK>
void wgmma(Accumulator<A> (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate, Where where = Where::current()) {
    static_assert(sizeof(A) == 2 || (kA == Major::kK && kB == Major::kK));
    static_assert(N % 8 == 0 && N >= 8 && N <= 256);
    detail::wgmma({detail::type<A>(), detail::type<B>(), kA, kB, N, accumulate, a, b, nullptr, d}, where);
}

template <class A, class B, int N, Major kB = Major::kK>
void wgmma(Accumulator<A> (&d)[N / 2], uint32_t const (&a)[4], uint64_t b, bool accumulate,
           Where where = Where::current()) {
    static_assert(sizeof(A) == 2 || kB == Major::kK);
    static_assert(N % 8 == 0 && N >= 8 && N <= 256);
    detail::wgmma({detail::type<A>(), detail::type<B>(), Major::kK, kB, N, accumulate, 0, b, a, d}, where);
}

}  // namespace pylayers::ptx
