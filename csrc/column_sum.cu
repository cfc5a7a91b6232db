// Host side of y[c] = sum over o, i of x[o, c, i].
#include "csrc/column_sum.cuh"

#include <cstdlib>

namespace pylayers {

Plan plan_column_sum(int64_t rows, int64_t columns, DeviceSpec spec) {
    int64_t const splits = count_row_splits(rows, columns, spec);
    return {"split_" + std::to_string(splits), splits * divide_up(columns, kWarp),
            splits > 1 ? splits * columns * int64_t(sizeof(float)) : 0, 64};
}

void column_sum(Array x, Array y, OptionalArray workspace, Stream stream) {
    require_dtype("column_sum", "x", x, DType::kFloat32);
    int64_t const columns = x.shape[1], inner = x.shape[2], rows = x.shape[0] * inner;
    require_shape("column_sum", "x", x, {x.shape[0], columns, inner});
    require_shape("column_sum", "y", y, {columns});
    StridedSource const source{x.as<float>(), x.strides[0], x.strides[1], x.strides[2], std::max<int64_t>(inner, 1)};
    if (std::abs(x.strides[1]) <= std::abs(inner > 1 ? x.strides[2] : x.strides[0]))
        sum_columns<true>(source, rows, columns, y, workspace, stream);
    else
        sum_columns<false>(source, rows, columns, y, workspace, stream);
}

void add_splits(float const* partial, int64_t splits, float* y, int64_t size, Stream stream) {
    using Kernel = ColumnSum<true, StridedSource>;
    StridedSource const source{partial, size, 1, 0, 1};
    launch<Kernel>(divide_up(size, Kernel::kColumns), {source, splits, size, splits, y}, stream);
}

}  // namespace pylayers
