// What the tensor cores compute: d += a b on operands of 32 bytes of k, and where wgmma finds them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/core/layout.cuh"

namespace pylayers::emulator::matrix {

enum class Type { kBf16, kFp16, kTf32, kE4m3, kE5m2, kS8 };

template <class T>
constexpr Type type_of = std::is_same_v<T, ptx::bf16>   ? Type::kBf16
                         : std::is_same_v<T, ptx::fp16> ? Type::kFp16
                         : std::is_same_v<T, ptx::tf32> ? Type::kTf32
                         : std::is_same_v<T, ptx::e4m3> ? Type::kE4m3
                         : std::is_same_v<T, ptx::e5m2> ? Type::kE5m2
                                                        : Type::kS8;

constexpr int bytes_of(Type type) {
    return type == Type::kTf32 ? 4 : type == Type::kBf16 || type == Type::kFp16 ? 2 : 1;
}

// Sums of float products as the chip makes them, which aligns them to the largest and truncates. Otherwise they are
// summed in float, in the order of k, and then added to the accumulator.
extern bool truncating;

// By the fragments of the 32 lanes: d (16, 8) += a (16, 32 bytes) b (32 bytes, 8). d[lane] points to 4 accumulators.
void mma(Type type, uint32_t const (*a)[4], uint32_t const (*b)[2], void* const* d);

// One warp's part of a wgmma: a (16, 32 bytes) are its rows, b (n, 32 bytes); d[lane] points to n / 2 accumulators.
void wgmma(Type a_type, Type b_type, std::byte const* a, std::byte const* b, int n, bool accumulate, void* const* d);

// What is wrong with a wgmma operand of rows 0 to `rows`, if anything.
std::string complaint(uint64_t descriptor, Type type, ptx::Major major, int rows);

// Where rows `first_row` to `first_row + rows` of a wgmma operand lie in shared memory, as
// visit(row - first_row, byte of k, offset in shared memory, bytes). Returns what is wrong with it, or nothing.
template <class Visit>
std::string visit_operand(uint64_t descriptor, Type type, ptx::Major major, int first_row, int rows,
                          uint32_t shared_base, int shared_bytes, Visit visit) {
    if (auto wrong = complaint(descriptor, type, major, first_row + rows); !wrong.empty()) return wrong;
    layout::Operand const operand = layout::operand(descriptor);
    int const piece = major == ptx::Major::kK ? 16 : bytes_of(type);
    for (int row = 0; row < rows; ++row)
        for (int k = 0; k < 32; k += piece) {
            // The descriptor holds the 18 lowest bits of an address.
            int const offset = layout::operand_address(operand, major, first_row + row, k) - int(shared_base & 0x3ffff);
            if (offset < 0 || offset + piece > shared_bytes)
                return "row " + std::to_string(first_row + row) + " lies outside of shared memory, at byte " +
                       std::to_string(offset) + " of " + std::to_string(shared_bytes);
            visit(row, k, offset, piece);
        }
    return "";
}

}  // namespace pylayers::emulator::matrix
