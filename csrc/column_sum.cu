// Host side of y[c] = sum over o, i of x[o, c, i].
#include "csrc/column_sum.cuh"

#include <cstdlib>

#include "csrc/dispatch.hpp"

namespace pylayers {

Plan plan_column_sum(int64_t rows, int64_t columns, DeviceSpec spec) {
    int64_t const splits = count_row_splits(rows, columns, spec);
    return {"split_" + std::to_string(splits), splits * divide_up(columns, kWarp),
            splits > 1 ? splits * columns * int64_t(sizeof(float)) : 0, 64};
}

namespace {

template <class T> void sum(Array const& x, Array const& y, OptionalArray const& workspace, Stream stream) {
    int64_t const columns = x.shape[1], inner = x.shape[2], rows = x.shape[0] * inner;
    StridedSource<T> const source{x.as<T>(), x.strides[0], x.strides[1], x.strides[2], std::max<int64_t>(inner, 1)};
    if (std::abs(x.strides[1]) <= std::abs(inner > 1 ? x.strides[2] : x.strides[0]))
        sum_columns<true>(source, rows, columns, y.as<T>(), workspace, stream);
    else
        sum_columns<false>(source, rows, columns, y.as<T>(), workspace, stream);
}

}  // namespace

void column_sum(Array x, Array y, OptionalArray workspace, Stream stream) {
    require_shape("column_sum", "x", x, {x.shape[0], x.shape[1], x.shape[2]});
    require_shape("column_sum", "y", y, {x.shape[1]});
    require(y.dtype == x.dtype, "column_sum: argument 'y': expected the dtype of x, got " + to_string(y));
    with_element<float, ptx::bf16, ptx::fp16>("column_sum", "x", x,
                                              [&]<class T>() { sum<T>(x, y, workspace, stream); });
}

void add_splits(float const* partial, int64_t splits, float* y, int64_t size, Stream stream) {
    add_splits<float>(partial, splits, y, size, stream);
}

}  // namespace pylayers
