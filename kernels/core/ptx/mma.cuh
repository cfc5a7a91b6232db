// Matrix instructions: ldmatrix, stmatrix, mma.sync and wgmma. Fragments lie as kernels/core/layout.cuh says.
#pragma once

namespace pylayers::ptx {

// ------------------------------------------------------------------------------------ ldmatrix, stmatrix

// Four matrices of 8 rows of 16 bytes; lane l gives the address of row l % 8 of matrix l / 8.
DEVICE void ldmatrix(uint32_t (&d)[4], void const* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// The same of matrices of 16-bit elements, transposed.
DEVICE void ldmatrix_trans(uint32_t (&d)[4], void const* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void stmatrix(void* row, uint32_t const (&s)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)),
                 "r"(s[0]), "r"(s[1]), "r"(s[2]), "r"(s[3])
                 : "memory");
}
DEVICE void stmatrix_trans(void* row, uint32_t const (&s)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(row)),
                 "r"(s[0]), "r"(s[1]), "r"(s[2]), "r"(s[3])
                 : "memory");
}

// Two floats rounded to 16 bits in one register, `low` in the low half.
template <class T> DEVICE uint32_t pack(float low, float high);
template <> DEVICE uint32_t pack<bf16>(float low, float high) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
template <> DEVICE uint32_t pack<fp16>(float low, float high) {
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

// ----------------------------------------------------------------------------------------------- mma.sync

namespace detail {
template <class T> struct Word;  // of a type in the names of instructions
template <> struct Word<bf16> {
    static constexpr char text[] = "bf16";
};
template <> struct Word<fp16> {
    static constexpr char text[] = "f16";
};
template <> struct Word<tf32> {
    static constexpr char text[] = "tf32";
};
template <> struct Word<e4m3> {
    static constexpr char text[] = "e4m3";
};
template <> struct Word<e5m2> {
    static constexpr char text[] = "e5m2";
};
template <> struct Word<int8_t> {
    static constexpr char text[] = "s8";
};
template <> struct Word<uint8_t> {
    static constexpr char text[] = "u8";
};
}  // namespace detail

// d (16, 8) += a (16, k) b (k, 8) by one warp, k being 32 bytes of T: bf16, fp16, tf32 or int8_t.
template <class T> DEVICE void mma(Accumulator<T> (&d)[4], uint32_t const (&a)[4], uint32_t const (&b)[2]) {
    if constexpr (sizeof(T) == 1)
        asm volatile(
            "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
            "%2, %3};"
            : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile(
            "mma.sync.aligned.m16n8k%11.row.col.f32.%10.%10.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, "
            "%1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "C"(detail::Word<T>::text),
              "n"(kInstructionK<T>));
}

// -------------------------------------------------------------------------------------------------- wgmma

// Before the first wgmma that reads registers written by other instructions: A in registers, or accumulators.
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// The multiplications since the last commit become a group.
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most N groups are under way.
template <int N> DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// Keeps the compiler from moving accesses to these registers across this place.
template <class T, int N> DEVICE void keep_registers(T (&d)[N]) {
    UNROLL
    for (int i = 0; i < N; ++i)
        if constexpr (std::is_integral_v<T>)
            asm volatile("" : "+r"(d[i])::"memory");
        else
            asm volatile("" : "+f"(d[i])::"memory");
}

// Operand lists: registers %0 to %n - 1 of the accumulators, and the accumulators themselves.
#define R2(t) "%" #t "0, %" #t "1"
#define R4(t) R2(t) ", %" #t "2, %" #t "3"
#define R6(t) R4(t) ", %" #t "4, %" #t "5"
#define R8(t) R6(t) ", %" #t "6, %" #t "7"
#define R10(t) R8(t) ", %" #t "8, %" #t "9"
#define R20(t, u) R10(t) ", " R10(u)
#define R40(t, u, v, w) R20(t, u) ", " R20(v, w)
#define D4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define D8(c, i) D4(c, i), D4(c, i + 4)
#define D16(c, i) D8(c, i), D8(c, i + 8)
#define D32(c, i) D16(c, i), D16(c, i + 16)
#define D64(c, i) D32(c, i), D32(c, i + 32)

// WGMMA(n, registers of its accumulators, numbers of the eight operands after them, its accumulators...) for each size.
#define WGMMA_BY_SIZE(WGMMA, c)                                                                                        \
    WGMMA(8, R4(), 4, 5, 6, 7, 8, 9, 10, 11, D4(c, 0))                                                                 \
    WGMMA(16, R8(), 8, 9, 10, 11, 12, 13, 14, 15, D8(c, 0))                                                            \
    WGMMA(24, R10() ", " R2(1), 12, 13, 14, 15, 16, 17, 18, 19, D8(c, 0), D4(c, 8))                                    \
    WGMMA(32, R10() ", " R6(1), 16, 17, 18, 19, 20, 21, 22, 23, D16(c, 0))                                             \
    WGMMA(48, R20(, 1) ", " R4(2), 24, 25, 26, 27, 28, 29, 30, 31, D16(c, 0), D8(c, 16))                               \
    WGMMA(64, R20(, 1) ", " R10(2) ", " R2(3), 32, 33, 34, 35, 36, 37, 38, 39, D32(c, 0))                              \
    WGMMA(80, R40(, 1, 2, 3), 40, 41, 42, 43, 44, 45, 46, 47, D32(c, 0), D8(c, 32))                                    \
    WGMMA(96, R40(, 1, 2, 3) ", " R8(4), 48, 49, 50, 51, 52, 53, 54, 55, D32(c, 0), D16(c, 32))                        \
    WGMMA(112, R40(, 1, 2, 3) ", " R10(4) ", " R6(5), 56, 57, 58, 59, 60, 61, 62, 63, D32(c, 0), D16(c, 32),           \
          D8(c, 48))                                                                                                   \
    WGMMA(128, R40(, 1, 2, 3) ", " R20(4, 5) ", " R4(6), 64, 65, 66, 67, 68, 69, 70, 71, D64(c, 0))                    \
    WGMMA(144, R40(, 1, 2, 3) ", " R20(4, 5) ", " R10(6) ", " R2(7), 72, 73, 74, 75, 76, 77, 78, 79, D64(c, 0),        \
          D8(c, 64))                                                                                                   \
    WGMMA(160, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7), 80, 81, 82, 83, 84, 85, 86, 87, D64(c, 0), D16(c, 64))             \
    WGMMA(176, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R8(8), 88, 89, 90, 91, 92, 93, 94, 95, D64(c, 0), D16(c, 64),  \
          D8(c, 80))                                                                                                   \
    WGMMA(192, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R10(8) ", " R6(9), 96, 97, 98, 99, 100, 101, 102, 103,         \
          D64(c, 0), D32(c, 64))                                                                                       \
    WGMMA(208, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R20(8, 9) ", " R4(10), 104, 105, 106, 107, 108, 109, 110, 111, \
          D64(c, 0), D32(c, 64), D8(c, 96))                                                                            \
    WGMMA(224, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R20(8, 9) ", " R10(10) ", " R2(11), 112, 113, 114, 115, 116,   \
          117, 118, 119, D64(c, 0), D32(c, 64), D16(c, 96))                                                            \
    WGMMA(240, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R40(8, 9, 10, 11), 120, 121, 122, 123, 124, 125, 126, 127,     \
          D64(c, 0), D32(c, 64), D16(c, 96), D8(c, 112))                                                               \
    WGMMA(256, R40(, 1, 2, 3) ", " R40(4, 5, 6, 7) ", " R40(8, 9, 10, 11) ", " R8(12), 128, 129, 130, 131, 132, 133,   \
          134, 135, D64(c, 0), D64(c, 64))

namespace detail {
template <class A, class B> struct WgmmaTypes;
template <> struct WgmmaTypes<bf16, bf16> {
    static constexpr char text[] = "k16.f32.bf16.bf16";
};
template <> struct WgmmaTypes<fp16, fp16> {
    static constexpr char text[] = "k16.f32.f16.f16";
};
template <> struct WgmmaTypes<tf32, tf32> {
    static constexpr char text[] = "k8.f32.tf32.tf32";
};
template <> struct WgmmaTypes<e4m3, e4m3> {
    static constexpr char text[] = "k32.f32.e4m3.e4m3";
};
template <> struct WgmmaTypes<e4m3, e5m2> {
    static constexpr char text[] = "k32.f32.e4m3.e5m2";
};
template <> struct WgmmaTypes<e5m2, e4m3> {
    static constexpr char text[] = "k32.f32.e5m2.e4m3";
};
template <> struct WgmmaTypes<e5m2, e5m2> {
    static constexpr char text[] = "k32.f32.e5m2.e5m2";
};
template <> struct WgmmaTypes<int8_t, int8_t> {
    static constexpr char text[] = "k32.s32.s8.s8";
};

// What follows the predicate: signs of the operands of float types, and how 16-bit operands in shared memory lie.
constexpr char digit(Major major) { return major == Major::kMn ? '1' : '0'; }
template <class T, Major... kMajors> struct WgmmaModifiers {
    static constexpr char text[] = ", 1, 1";
};
template <Major... kMajors> struct WgmmaModifiers<int8_t, kMajors...> {
    static constexpr char text[] = "";
};
template <class T, Major kA, Major kB>
    requires(sizeof(T) == 2)
struct WgmmaModifiers<T, kA, kB> {
    static constexpr char text[] = {',', '1', ',', '1', ',', digit(kA), ',', digit(kB), 0};
};
template <class T, Major kB>
    requires(sizeof(T) == 2)
struct WgmmaModifiers<T, kB> {
    static constexpr char text[] = {',', '1', ',', '1', ',', digit(kB), 0};
};
}  // namespace detail

// d (64, N) = a (64, k) b (k, N), or += if `accumulate`, by one warpgroup; k is 32 bytes of T. `a` and `b` are matrix
// descriptors of shared memory; only 16-bit types may lie along m or n there (Major::kMn).
template <class A, class B, int N, Major kA = Major::kK, Major kB = Major::kK>
DEVICE void wgmma(Accumulator<A> (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
    static_assert(sizeof(A) == 2 || (kA == Major::kK && kB == Major::kK));
#define WGMMA(n, registers, i, j, k, l, m, x, y, z, ...)                                                     \
    if constexpr (N == n)                                                                                    \
        asm volatile("{.reg .pred p; setp.ne.b32 p, %" #k ", 0; wgmma.mma_async.sync.aligned.m64n" #n "%" #l \
                     " {" registers "}, %" #i ", %" #j ", p%" #m ";}"                                        \
                     : __VA_ARGS__                                                                           \
                     : "l"(a), "l"(b), "r"(int(accumulate)), "C"(detail::WgmmaTypes<A, B>::text),            \
                       "C"(detail::WgmmaModifiers<A, kA, kB>::text));
    if constexpr (std::is_same_v<A, int8_t>) {
        WGMMA_BY_SIZE(WGMMA, "+r")
    } else {
        WGMMA_BY_SIZE(WGMMA, "+f")
    }
#undef WGMMA
}

// The same with A in registers, each warp holding its 16 rows as a fragment of `mma`.
template <class A, class B, int N, Major kB = Major::kK>
DEVICE void wgmma(Accumulator<A> (&d)[N / 2], uint32_t const (&a)[4], uint64_t b, bool accumulate) {
    static_assert(sizeof(A) == 2 || kB == Major::kK);
#define WGMMA(n, registers, i, j, k, l, m, x, y, z, ...)                                                     \
    if constexpr (N == n)                                                                                    \
        asm volatile("{.reg .pred p; setp.ne.b32 p, %" #x ", 0; wgmma.mma_async.sync.aligned.m64n" #n "%" #y \
                     " {" registers "}, {%" #i ", %" #j ", %" #k ", %" #l "}, %" #m ", p%" #z ";}"           \
                     : __VA_ARGS__                                                                           \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(accumulate)),             \
                       "C"(detail::WgmmaTypes<A, B>::text), "C"(detail::WgmmaModifiers<A, kB>::text));
    if constexpr (std::is_same_v<A, int8_t>) {
        WGMMA_BY_SIZE(WGMMA, "+r")
    } else {
        WGMMA_BY_SIZE(WGMMA, "+f")
    }
#undef WGMMA
}

#undef WGMMA_BY_SIZE
#undef D64
#undef D32
#undef D16
#undef D8
#undef D4
#undef R40
#undef R20
#undef R10
#undef R8
#undef R6
#undef R4
#undef R2

}  // namespace pylayers::ptx
