// Images (N, C, *S) of one or two spatial dimensions as those of two: a line is an image one pixel high.
#pragma once
#include "csrc/ops/image.hpp"

namespace pylayers {

inline Array as_image(char const* op, Array x) {
    if (x.rank != 3 && x.rank != 4)
        throw NotImplemented(std::string(op) + ": expected one or two spatial dimensions, got " +
                             std::to_string(x.rank - 2) + "; the kernels of this backend have no others yet");
    if (x.rank == 3) {
        x.shape[3] = x.shape[2], x.strides[3] = x.strides[2];
        x.shape[2] = 1, x.strides[2] = 0;
        x.rank = 4;
    }
    return x;
}

// A shape that was given as numbers, of an array of this rank.
inline Extents extents(char const* op, Sizes const& sizes, int rank) {
    require(int(sizes.size()) == rank, op, ": expected a shape of ", int64_t(rank), " numbers, got ",
            int64_t(sizes.size()));
    Extents shape{};
    std::copy(sizes.begin(), sizes.end(), shape.begin());
    return shape;
}

// What a window is told of the first and second of two spatial dimensions; `line` stands for the first of one.
inline int64_t along(Sizes const& v, int axis, int64_t line) {
    return v.size() == 2 ? v[axis] : axis == 1 ? v[0] : line;
}

}  // namespace pylayers
