// Walks the box of a copy by TMA: rows of a tile, or pixels of an image between two corners, in pieces of 16 bytes.
#include "emulator/tensor_map.hpp"

#include <algorithm>
#include <cstring>

#include "csrc/array.hpp"
#include "kernels/core/layout.cuh"

namespace pylayers::emulator {
namespace {

constexpr int kChunk = 16, kMostShared = 232448;

struct Walk {
    ptx::TensorMap const& map;
    detail::PieceVisitor visitor;
    int row_bytes, row = 0;

    int64_t size(int dimension) const { return int64_t(map.last[dimension]) + 1; }

    // The next row of the box: from `channel` on at the place whose further coordinates are `at`, innermost first.
    void visit_row(int64_t channel, int64_t const* at) {
        bool outside = false;
        std::byte* start = map.data;
        for (int i = 1; i < map.rank; ++i) {
            outside |= at[i - 1] < 0 || at[i - 1] >= size(i);
            start += at[i - 1] * int64_t(map.strides[i - 1]);
        }
        int64_t const bytes = map.element_bytes, begin = -channel * bytes, end = (size(0) - channel) * bytes;
        start += channel * bytes;
        for (int chunk = 0; chunk < row_bytes; chunk += kChunk) {
            int const to = layout::swizzled(layout::Swizzle(map.swizzle_bytes), row * row_bytes + chunk);
            // Of the chunk, bytes `first` to `last` lie in the tensor.
            int const first = outside ? kChunk : int(std::clamp<int64_t>(begin - chunk, 0, kChunk));
            int const last = outside ? kChunk : int(std::clamp<int64_t>(end - chunk, first, kChunk));
            visit({nullptr, to, first});
            visit({start + chunk + first, to + first, last - first});
            visit({nullptr, to + last, kChunk - last});
        }
        ++row;
    }

  private:
    void visit(Piece const& piece) {
        if (piece.bytes > 0) visitor.call(visitor.visit, piece);
    }
};

int rows_along(ptx::TensorMap const& map, int dimension) {
    return (map.box[dimension] + map.element_strides[dimension] - 1) / map.element_strides[dimension];
}

void visit_tile(Walk& walk, int32_t const* at) {
    ptx::TensorMap const& map = walk.map;
    int count = 1;
    for (int i = 1; i < map.rank; ++i) count *= rows_along(map, i);
    for (int row = 0; row < count; ++row) {
        int64_t place[4];
        for (int i = 1, rest = row; i < map.rank; rest /= rows_along(map, i++))
            place[i - 1] = int64_t(at[i]) + rest % rows_along(map, i) * map.element_strides[i];
        walk.visit_row(at[0], place);
    }
}

// Base pixels go through the box between the corners, width first, in steps of the filter; each is moved by the tap.
void visit_pixels(Walk& walk, int32_t const* at, uint16_t const* tap) {
    ptx::TensorMap const& map = walk.map;
    int const spatial = map.rank - 2;
    int64_t base[4];
    for (int i = 0; i <= spatial; ++i) base[i] = at[i + 1];
    for (int pixel = 0; pixel < map.box[1]; ++pixel) {
        int64_t place[4];
        for (int i = 0; i <= spatial; ++i) place[i] = base[i] + (i < spatial ? tap[i] : 0);
        walk.visit_row(at[0], place);
        int i = 0;
        for (; i < spatial; ++i) {
            base[i] += map.element_strides[i + 1];
            if (base[i] < walk.size(i + 1) + map.upper[i]) break;
            base[i] = map.lower[i];
        }
        if (i == spatial) ++base[spatial];  // the next image
    }
}

std::string why_no_start(ptx::TensorMap const& map, int32_t const* at) {
    for (int i = 0; i < map.rank - 2; ++i)
        if (at[i + 1] < map.lower[i] || at[i + 1] >= int64_t(map.last[i + 1]) + 1 + map.upper[i])
            return "the first pixel, coordinate " + std::to_string(i + 1) + " = " + std::to_string(at[i + 1]) +
                   ", does not lie between the corners of the map";
    return "";
}

}  // namespace

std::string detail::visit_box(ptx::TensorMap const& map, int rank, int32_t const* at, uint16_t const* tap,
                              uint32_t shared_address, PieceVisitor visitor) {
    if (map.magic != kMapMagic) return "this is no tensor map: its bytes were changed, or it was never encoded";
    if (reinterpret_cast<std::uintptr_t>(&map) % 64) return "the tensor map does not lie at a multiple of 64 bytes";
    if (map.rank != rank)
        return "the map has " + std::to_string(map.rank) + " dimensions, the copy " + std::to_string(rank);
    if (map.im2col != (tap != nullptr)) return map.im2col ? "the map is one of im2col" : "the map is not one of im2col";
    int const alignment = map.swizzle_bytes == kChunk ? 128 : 8 * map.swizzle_bytes;
    if (shared_address % alignment)
        return "shared address " + std::to_string(shared_address) + " is no multiple of " + std::to_string(alignment) +
               ", which a swizzle of " + std::to_string(map.swizzle_bytes) + " bytes asks for";
    if (box_bytes(map) > kMostShared) return "a box of " + std::to_string(box_bytes(map)) + " bytes fits in no block";
    Walk walk{map, visitor, map.box[0] * map.element_bytes};
    if (!map.im2col) {
        visit_tile(walk, at);
        return "";
    }
    if (auto wrong = why_no_start(map, at); !wrong.empty()) return wrong;
    visit_pixels(walk, at, tap);
    return "";
}

int box_bytes(ptx::TensorMap const& map) {
    int bytes = map.box[0] * map.element_bytes * (map.im2col ? map.box[1] : 1);
    for (int i = 1; i < map.rank && !map.im2col; ++i) bytes *= rows_along(map, i);
    return bytes;
}

void load(ptx::TensorMap const& map, std::byte* shared, std::byte const* global, int bytes) {
    if (!global) {
        std::memset(shared, 0, bytes);
    } else if (!map.tf32) {
        std::memcpy(shared, global, bytes);
    } else {
        for (int i = 0; i < bytes; i += 4) {
            float x;
            std::memcpy(&x, global + i, 4);
            uint32_t const bits = ptx::round_to_tf32(x);
            std::memcpy(shared + i, &bits, 4);
        }
    }
}

namespace {

template <class T, class Combine> void each(std::byte* to, std::byte const* from, int bytes, Combine combine) {
    for (int i = 0; i < bytes; i += sizeof(T)) {
        T x, y;
        std::memcpy(&x, to + i, sizeof x);
        std::memcpy(&y, from + i, sizeof y);
        x = combine(x, y);
        std::memcpy(to + i, &x, sizeof x);
    }
}

// In float, rounded once: as exact as the chip's addition in T.
template <class T> void combine_floats(ptx::TmaStore how, std::byte* to, std::byte const* from, int bytes) {
    each<T>(to, from, bytes, [how](T x, T y) {
        float const a = ptx::to_float(x), b = ptx::to_float(y);
        if (how == ptx::TmaStore::kAdd) return ptx::from_float<T>(a + b);
        if (a != a || b != b) return a != a ? y : x;  // a NaN loses
        return (how == ptx::TmaStore::kMin) == (b < a) ? y : x;
    });
}

template <class T> void combine_integers(ptx::TmaStore how, std::byte* to, std::byte const* from, int bytes) {
    each<T>(to, from, bytes, [how](T x, T y) {
        if (how == ptx::TmaStore::kAdd) return T(uint32_t(x) + uint32_t(y));
        return how == ptx::TmaStore::kMin ? std::min(x, y) : std::max(x, y);
    });
}

}  // namespace

std::string why_not_combined(ptx::TensorMap const& map, ptx::TmaStore how) {
    if (map.im2col) return "a store goes by a tiled map, not by one of im2col";
    if (how == ptx::TmaStore::kWrite) return "";
    bool const adds = map.dtype == DType::kFloat32;
    if (adds && how == ptx::TmaStore::kAdd) return "";
    if (map.dtype == DType::kFloat16 || map.dtype == DType::kBfloat16 || map.dtype == DType::kInt32) return "";
    return "no reduction of this kind by TMA for " + std::string(info(map.dtype).name);
}

void combine(ptx::TensorMap const& map, ptx::TmaStore how, std::byte* global, std::byte const* shared, int bytes) {
    if (how == ptx::TmaStore::kWrite)
        std::memcpy(global, shared, bytes);
    else if (map.dtype == DType::kBfloat16)
        combine_floats<ptx::bf16>(how, global, shared, bytes);
    else if (map.dtype == DType::kFloat16)
        combine_floats<ptx::fp16>(how, global, shared, bytes);
    else if (map.dtype == DType::kFloat32)
        combine_floats<float>(how, global, shared, bytes);
    else
        combine_integers<int32_t>(how, global, shared, bytes);
}

}  // namespace pylayers::emulator
