// Tensor maps on the emulator: which bytes of a tensor a copy by TMA touches, and how it changes them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "emulator/number.hpp"

namespace pylayers {
enum class DType;
}

namespace pylayers::ptx {

enum class TmaStore;

// What the chip keeps to itself: here, what the host's encoder was told.
struct alignas(64) TensorMap {
    uint32_t magic;
    uint8_t rank, element_bytes, swizzle_bytes;
    bool im2col, tf32;
    uint8_t element_strides[5];
    int16_t lower[3], upper[3];  // corners of the bounding box, width first
    uint16_t box[5];             // elements; im2col: channels, pixels
    uint32_t last[5];            // sizes less 1
    uint64_t strides[4];         // bytes, from the second dimension on
    std::byte* data;
    DType dtype;
};
static_assert(sizeof(TensorMap) == 128);

}  // namespace pylayers::ptx

namespace pylayers::emulator {

constexpr uint32_t kMapMagic = 0x70616d74;

struct Piece {
    std::byte* global;  // null: outside of the tensor, reads as zero
    int shared_offset;  // from the box's address
    int bytes;
};

namespace detail {
struct PieceVisitor {
    void (*call)(void* visit, Piece const& piece);
    void* visit;
};
std::string visit_box(ptx::TensorMap const& map, int rank, int32_t const* at, uint16_t const* tap,
                      uint32_t shared_address, PieceVisitor visitor);
}  // namespace detail

// All pieces, of at most 16 bytes, of the box at these coordinates (tap: im2col, or null) when it lies at this shared
// address. Returns what is wrong, or nothing.
template <class Visit>
std::string visit_box(ptx::TensorMap const& map, int rank, int32_t const* at, uint16_t const* tap,
                      uint32_t shared_address, Visit&& visit) {
    auto const call = [](void* to, Piece const& piece) { (*static_cast<std::remove_reference_t<Visit>*>(to))(piece); };
    return detail::visit_box(map, rank, at, tap, shared_address, {call, &visit});
}

int box_bytes(ptx::TensorMap const& map);

// One piece on its way from global memory (null: zeros) to shared memory: rounds where the map says tf32.
void load(ptx::TensorMap const& map, std::byte* shared, std::byte const* global, int bytes);

// One piece on its way back: written over, or combined with, what the tensor holds.
void combine(ptx::TensorMap const& map, ptx::TmaStore how, std::byte* global, std::byte const* shared, int bytes);

// Why a store may not combine so, or nothing: the chip has no minimum and maximum of float32.
std::string why_not_combined(ptx::TensorMap const& map, ptx::TmaStore how);

}  // namespace pylayers::emulator
