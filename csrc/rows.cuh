// Starts a row kernel: a warp for a short row, a block for a long one.
#pragma once
#include "csrc/dispatch.hpp"
#include "csrc/launch.cuh"
#include "csrc/ops/rows.hpp"
#include "kernels/core/rows.cuh"

namespace pylayers {

constexpr int64_t kWarpColumns = 1024;  // 32 elements a lane; beyond, a block's barriers cost less than a warp's passes

// Kernel<T, threads of a row>
template <template <class, int> class Kernel, class T>
void launch_rows(int64_t rows, int64_t columns, typename Kernel<T, kWarp>::Params const& params, Stream stream) {
    using OfWarps = Kernel<T, kWarp>;
    if (columns <= kWarpColumns)
        launch<OfWarps>(striding_blocks(divide_up(rows, OfWarps::kRowsPerBlock), stream), params, stream);
    else
        launch<Kernel<T, 256>>(striding_blocks(rows, stream), params, stream);
}

template <class T> Rows<T> rows_of(Array const& x) { return {x.as<T>(), x.strides[0], x.strides[1]}; }

template <class T> Rows<T> rows_of(char const* op, char const* name, Array const& x, int64_t rows, int64_t columns) {
    require_dtype(op, name, x, kDTypeOf<T>);
    require_shape(op, name, x, {rows, columns});
    return rows_of<T>(x);
}

template <class T> Vector<T> vector_of(char const* op, char const* name, OptionalArray const& x, int64_t n) {
    if (!x) return {};
    require_dtype(op, name, *x, kDTypeOf<T>);
    require_shape(op, name, *x, {n});
    return {x->as<T const>(), x->strides[0]};
}

}  // namespace pylayers
