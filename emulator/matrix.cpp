// Products of fragments and operands: conversion to float once, then sums over k for all n at a time.
#include "emulator/matrix.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace pylayers::emulator::matrix {

bool truncating = false;

namespace {

constexpr int kRows = 16, kMostColumns = 256, kMostK = 32, kOperandBytes = 32;

// A row of 32 bytes of numbers.
template <class T, class To> void widen(std::byte const* row, To* to) {
    T numbers[kOperandBytes / sizeof(T)];
    std::memcpy(numbers, row, kOperandBytes);
    for (T const& x : numbers) {
        if constexpr (std::is_same_v<T, int8_t>)
            *to++ = uint32_t(int32_t(x));
        else
            *to++ = ptx::to_float(x);
    }
}

// The tensor cores do not see a tf32's 13 lowest bits.
void widen_tf32(std::byte const* row, float* to) {
    uint32_t bits[kOperandBytes / 4];
    std::memcpy(bits, row, kOperandBytes);
    for (uint32_t b : bits) *to++ = ptx::float_from_bits(b & ~0x1fffu);
}

template <class T> std::array<float, 256> table_of_bytes() {
    std::array<float, 256> table;
    for (int i = 0; i < 256; ++i) table[i] = ptx::to_float(T{uint8_t(i)});
    return table;
}
template <class T> void widen_bytes(std::byte const* row, float* to) {
    static std::array<float, 256> const table = table_of_bytes<T>();
    for (int i = 0; i < kOperandBytes; ++i) to[i] = table[uint8_t(row[i])];
}

void widen(Type type, std::byte const* row, float* to) {
    switch (type) {
        case Type::kBf16:
            return widen<ptx::bf16>(row, to);
        case Type::kFp16:
            return widen<ptx::fp16>(row, to);
        case Type::kTf32:
            return widen_tf32(row, to);
        case Type::kE4m3:
            return widen_bytes<ptx::e4m3>(row, to);
        case Type::kE5m2:
            return widen_bytes<ptx::e5m2>(row, to);
        case Type::kS8:
            return;
    }
}
void widen(Type, std::byte const* row, uint32_t* to) { widen<int8_t>(row, to); }

// Operands as they are multiplied: a by rows, b by k. Integers are multiplied as unsigned ones: the same bits.
template <class Number> struct Operands {
    int k, n;
    alignas(64) Number a[kRows][kMostK];
    alignas(64) Number b[kMostK][kMostColumns];

    Operands(Type a_type, Type b_type, std::byte const* a_bytes, std::byte const* b_bytes, int columns)
        : k(kOperandBytes / bytes_of(a_type)), n(columns) {
        for (int row = 0; row < kRows; ++row) widen(a_type, a_bytes + row * kOperandBytes, a[row]);
        Number numbers[8][kMostK];
        for (int column = 0; column < n; column += 8) {
            for (int i = 0; i < 8; ++i) widen(b_type, b_bytes + (column + i) * kOperandBytes, numbers[i]);
            for (int j = 0; j < k; ++j)
                for (int i = 0; i < 8; ++i) b[j][column + i] = numbers[i][j];
        }
    }
};

// d[row, column] += sum over k of a[row, k] b[k, column], eight columns of four rows at a time.
template <class Number> void add_product(Operands<Number> const& x, Number (*d)[kMostColumns]) {
    typedef Number Eight __attribute__((vector_size(8 * sizeof(Number))));
    for (int column = 0; column < x.n; column += 8)
        for (int row = 0; row < kRows; row += 4) {
            Eight sum[4] = {};
            for (int j = 0; j < x.k; ++j) {
                Eight const b = *reinterpret_cast<Eight const*>(&x.b[j][column]);
                UNROLL
                for (int r = 0; r < 4; ++r) sum[r] += x.a[row + r][j] * b;
            }
            UNROLL
            for (int r = 0; r < 4; ++r) *reinterpret_cast<Eight*>(&d[row + r][column]) += sum[r];
        }
}

// What Hopper's tensor cores keep of a sum, found by others by experiment: terms are cut to this many bits after the
// leading bit's place of the largest, and sums of 8-bit floats to 13 bits of mantissa.
struct Precision {
    int fraction_bits, mantissa_bits;
};
constexpr Precision precision(Type type) { return bytes_of(type) == 1 ? Precision{13, 13} : Precision{25, 23}; }

int exponent(double x) { return int(std::bit_cast<uint64_t>(x) >> 52 & 0x7ff) - 1023; }

// Towards zero.
float cut(double x, int mantissa_bits) {
    int const least = std::max(exponent(x), -126) - mantissa_bits;
    return float(std::ldexp(std::trunc(std::ldexp(x, -least)), least));
}

// The same for one element, as the chip adds: terms aligned to the largest, cut, added exactly, cut.
float add_truncating(Operands<float> const& x, int row, int column, float d, Precision const& keep) {
    double terms[kMostK + 1];
    int largest = -1023;
    for (int j = 0; j < x.k; ++j) {
        float const a = x.a[row][j], b = x.b[j][column];
        terms[j] = double(a) * double(b);
        // The chip does not normalise the product first.
        if (terms[j] != 0) largest = std::max(largest, exponent(a) + exponent(b));
    }
    terms[x.k] = d;
    if (d != 0) largest = std::max(largest, exponent(d));
    if (largest == -1023) return d;  // nothing but zeros
    double sum = 0;
    double const unit = std::ldexp(1.0, largest - keep.fraction_bits), per_unit = 1 / unit;
    for (int j = 0; j <= x.k; ++j) {
        if (!std::isfinite(terms[j])) {
            float plain = d;
            for (int i = 0; i < x.k; ++i) plain += float(terms[i]);
            return plain;
        }
        sum += std::trunc(terms[j] * per_unit);
    }
    return cut(sum * unit, keep.mantissa_bits);
}

void add_truncating(Operands<float> const& x, Precision const& keep, float (*d)[kMostColumns]) {
    for (int row = 0; row < kRows; ++row)
        for (int column = 0; column < x.n; ++column)
            d[row][column] = add_truncating(x, row, column, d[row][column], keep);
}

// d (16, n): the accumulators of the lanes, which hold neighbours in pairs.
template <class Number>
void multiply(Type a_type, Type b_type, std::byte const* a, std::byte const* b, int n, bool accumulate,
              void* const* accumulators) {
    Operands<Number> const operands(a_type, b_type, a, b, n);
    alignas(64) Number d[kRows][kMostColumns] = {};
    auto const each_pair = [&](auto visit) {
        for (int lane = 0; lane < ptx::kWarp; ++lane)
            for (int i = 0; i < n / 2; i += 2) {
                layout::Position const p = layout::mma_d(lane, i % 4);
                visit(&d[p.row][i / 4 * 8 + p.column], static_cast<Number*>(accumulators[lane]) + i);
            }
    };
    if (accumulate) each_pair([](Number* here, Number const* lane) { std::memcpy(here, lane, 2 * sizeof *here); });
    if constexpr (std::is_same_v<Number, float>)
        truncating ? add_truncating(operands, precision(a_type), d) : add_product(operands, d);
    else
        add_product(operands, d);
    each_pair([](Number const* here, Number* lane) { std::memcpy(lane, here, 2 * sizeof *here); });
}

}  // namespace

void wgmma(Type a_type, Type b_type, std::byte const* a, std::byte const* b, int n, bool accumulate, void* const* d) {
    if (a_type == Type::kS8)
        multiply<uint32_t>(a_type, b_type, a, b, n, accumulate, d);
    else
        multiply<float>(a_type, b_type, a, b, n, accumulate, d);
}

void mma(Type type, uint32_t const (*a)[4], uint32_t const (*b)[2], void* const* d) {
    std::byte a_bytes[kRows][kOperandBytes], b_bytes[8][kOperandBytes];
    for (int lane = 0; lane < ptx::kWarp; ++lane) {
        for (int r = 0; r < 4; ++r) {
            layout::Position const p = layout::mma_a(lane, r);
            std::memcpy(&a_bytes[p.row][p.column], &a[lane][r], 4);
        }
        for (int r = 0; r < 2; ++r) {
            layout::Position const p = layout::mma_b(lane, r);
            std::memcpy(&b_bytes[p.column][p.row], &b[lane][r], 4);
        }
    }
    wgmma(type, type, a_bytes[0], b_bytes[0], 8, true, d);
}

std::string complaint(uint64_t descriptor, Type type, ptx::Major major, int rows) {
    layout::Operand const d = layout::operand(descriptor);
    int const span = int(d.swizzle), tile = 8 * span;
    auto const bytes = [](int n) { return std::to_string(n) + " bytes"; };
    if (descriptor & 0x3fffc000c000c000) return "the descriptor sets bits that mean nothing, or a base offset";
    if (major == ptx::Major::kMn && bytes_of(type) != 2) return "only 16-bit types may lie along m or n";
    if (span == 16) return "";
    int const into = int(d.address % tile);
    if (major == ptx::Major::kMn && into) return "the operand begins " + bytes(into) + " into a tile of " + bytes(tile);
    if (major == ptx::Major::kK && into + kOperandBytes > span)
        return "the operand begins " + bytes(into) + " into a tile of rows of " + bytes(span) +
               ", where no 32 of k follow";
    if ((major == ptx::Major::kMn || rows > 8) && (d.stride_bytes == 0 || d.stride_bytes % tile))
        return "a stride of " + bytes(d.stride_bytes) + " does not lead from tile to tile of " + bytes(tile);
    if (major == ptx::Major::kMn && rows * 2 > span && (d.leading_bytes == 0 || d.leading_bytes % tile))
        return "a leading offset of " + bytes(d.leading_bytes) + " does not lead from tile to tile of " + bytes(tile);
    return "";
}

}  // namespace pylayers::emulator::matrix
