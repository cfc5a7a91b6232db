// Starts a row kernel: a warp for a short row, a block for a long one.
#pragma once
#include <algorithm>

#include "csrc/launch.cuh"
#include "csrc/ops.hpp"
#include "kernels/core/rows.cuh"

namespace pylayers {

constexpr int64_t kWarpColumns = 1024;  // 32 elements a lane; beyond, a block's barriers cost less than a warp's passes

template <template <int> class Kernel, class Params>
void launch_rows(int64_t rows, int64_t columns, Params const& params, Stream stream) {
    int64_t const enough = 16 * device_spec(stream.device).sms;  // a few waves; the blocks stride over the rest
    if (columns <= kWarpColumns)
        launch<Kernel<kWarp>>(std::min(divide_up(rows, Kernel<kWarp>::kRowsPerBlock), enough), params, stream);
    else
        launch<Kernel<256>>(std::min(rows, enough), params, stream);
}

inline Rows<float> rows_of(Array const& x) { return {x.as<float>(), x.strides[0], x.strides[1]}; }

inline Rows<float> rows_of(char const* op, char const* name, Array const& x, int64_t rows, int64_t columns) {
    require_dtype(op, name, x, DType::kFloat32);
    require_shape(op, name, x, {rows, columns});
    return rows_of(x);
}

}  // namespace pylayers
