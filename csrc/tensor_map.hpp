// Tensor maps, by which TMA finds a box of a tensor: what the hardware demands of one, and a cache of the encoded ones.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "csrc/array.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers {

constexpr int kMapRank = 5;  // the most dimensions

// Dimensions are counted from the innermost one, whose elements are neighbours in memory.
struct TensorMapSpec {
    DType dtype = DType::kFloat32;
    bool tf32 = false;  // float32 that is rounded to tf32 on its way to shared memory
    bool im2col = false;
    void const* data = nullptr;
    int rank = 0;
    int swizzle_bytes = 16;                   // 16: none, 32, 64 or 128, and then a row of the box is as long
    std::array<int64_t, kMapRank> sizes{};    // of the tensor
    std::array<int64_t, kMapRank> strides{};  // in elements; the innermost is 1
    std::array<int, kMapRank> box{};          // in elements; im2col: channels, pixels
    std::array<int, kMapRank> element_strides{1, 1, 1, 1, 1};  // every how many-th element of the box is copied
    // im2col: where base pixels lie: from `lower` to size - 1 + `upper`, for each spatial dimension, width first.
    std::array<int, kMapRank - 2> lower{}, upper{};

    bool operator==(TensorMapSpec const&) const = default;
};

// Which condition of the hardware this map does not meet; empty if it meets all.
std::string why_not_addressable(TensorMapSpec const& spec);

// The encoded map, from a cache of the last few thousand. ValueError for what is not addressable.
ptx::TensorMap tensor_map(TensorMapSpec const& spec);
void forget_tensor_maps();
// How many the cache did not hold.
int64_t encoded_tensor_maps();

// The two bodies: the driver's encoder and the emulator's. The spec is addressable.
ptx::TensorMap encode(TensorMapSpec const& spec);

}  // namespace pylayers
