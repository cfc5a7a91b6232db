// Host side of layer norm.
#include "kernels/norm.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/rows.cuh"

namespace pylayers {

Three layer_norm_forward(Array const& x, OptionalArray const& weight, OptionalArray const& bias, double eps,
                         Caller const& caller) {
    char const* const op = "layer_norm_forward";
    return with_float(op, "x", x, [&]<class T>() -> Three {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        Rows<T> const in = rows_of<T>(op, "x", x, rows, columns);
        Vector<T> const w = vector_of<T>(op, "weight", weight, columns), b = vector_of<T>(op, "bias", bias, columns);
        NewArray const y = caller.like(x), mean = caller.empty(DType::kFloat32, {rows}),
                       rstd = caller.empty(DType::kFloat32, {rows});
        launch_rows<LayerNormForward, T>(
            rows, columns, {in, rows_of<T>(y), w, b, mean.as<float>(), rstd.as<float>(), rows, columns, float(eps)},
            caller.stream);
        return {y, mean, rstd};
    });
}

Three layer_norm_backward(Array const& dy, Array const& x, Array const& mean, Array const& rstd,
                          OptionalArray const& weight, Caller const& caller) {
    char const* const op = "layer_norm_backward";
    return with_float(op, "x", x, [&]<class T>() -> Three {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        Rows<T> const grad = rows_of<T>(op, "dy", dy, rows, columns), in = rows_of<T>(op, "x", x, rows, columns);
        Vector<T> const w = vector_of<T>(op, "weight", weight, columns);
        Vector<float> const means = vector_of<float>(op, "mean", mean, rows),
                            rstds = vector_of<float>(op, "rstd", rstd, rows);
        NewArray const dx = caller.like(x), dweight = caller.empty(x.dtype, {columns}),
                       dbias = caller.empty(x.dtype, {columns});
        float* const splits = column_sum_workspace(rows, columns, caller);  // of the two sums, one after the other
        launch_rows<LayerNormBackward, T>(rows, columns, {grad, in, rows_of<T>(dx), w, means, rstds, rows, columns},
                                          caller.stream);
        sum_columns<true>(LayerNormWeightSource<T>{grad, in, means, rstds}, rows, columns, dweight.as<T>(), splits,
                          caller.stream);
        sum_columns<true>(StridedSource<T>{dy.as<T>(), dy.strides[0], dy.strides[1], 0, 1}, rows, columns,
                          dbias.as<T>(), splits, caller.stream);
        return {dx, dweight, dbias};
    });
}

}  // namespace pylayers
