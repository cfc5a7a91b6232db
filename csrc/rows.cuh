// Starts a row kernel: a warp for a short row, a block for a long one.
#pragma once
#include "csrc/launch.cuh"
#include "csrc/ops.hpp"
#include "kernels/core/rows.cuh"

namespace pylayers {

constexpr int64_t kWarpColumns = 1024;  // 32 elements a lane; beyond, a block's barriers cost less than a warp's passes

template <template <int> class Kernel, class Params>
void launch_rows(int64_t rows, int64_t columns, Params const& params, Stream stream) {
    if (columns <= kWarpColumns)
        launch<Kernel<kWarp>>(striding_blocks(divide_up(rows, Kernel<kWarp>::kRowsPerBlock), stream), params, stream);
    else
        launch<Kernel<256>>(striding_blocks(rows, stream), params, stream);
}

inline Rows<float> rows_of(Array const& x) { return {x.as<float>(), x.strides[0], x.strides[1]}; }

inline Rows<float> rows_of(char const* op, char const* name, Array const& x, int64_t rows, int64_t columns) {
    require_dtype(op, name, x, DType::kFloat32);
    require_shape(op, name, x, {rows, columns});
    return rows_of(x);
}

}  // namespace pylayers
