// Host side of layer norm and RMS norm.
#include "kernels/norm.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/rows.cuh"

namespace pylayers {
namespace {

// y, rstd and, where rows are centred, their mean.
struct Normalized {
    NewArray y, rstd;
    std::optional<NewArray> mean;
};

Normalized forward(char const* op, Array const& x, OptionalArray const& weight, OptionalArray const& bias, double eps,
                   bool centred, Caller const& caller) {
    return with_float(op, "x", x, [&]<class T>() {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        Rows<T> const in = rows_of<T>(op, "x", x, rows, columns);
        Vector<T> const w = vector_of<T>(op, "weight", weight, columns), b = vector_of<T>(op, "bias", bias, columns);
        Normalized n{caller.like(x), caller.empty(DType::kFloat32, {rows}), {}};
        if (centred) n.mean = caller.empty(DType::kFloat32, {rows});
        launch_rows<NormForward, T>(rows, columns,
                                    {in, rows_of<T>(n.y), w, b, n.mean ? n.mean->as<float>() : nullptr,
                                     n.rstd.as<float>(), rows, columns, float(eps)},
                                    caller.stream);
        return n;
    });
}

struct Gradients {
    NewArray dx, dweight;
    std::optional<NewArray> dbias;
};

Gradients backward(char const* op, Array const& dy, Array const& x, OptionalArray const& mean, Array const& rstd,
                   OptionalArray const& weight, Caller const& caller) {
    return with_float(op, "x", x, [&]<class T>() {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        Rows<T> const grad = rows_of<T>(op, "dy", dy, rows, columns), in = rows_of<T>(op, "x", x, rows, columns);
        Vector<T> const w = vector_of<T>(op, "weight", weight, columns);
        Vector<float> const means = vector_of<float>(op, "mean", mean, rows),
                            rstds = vector_of<float>(op, "rstd", rstd, rows);
        Gradients g{caller.like(x), caller.empty(x.dtype, {columns}), {}};
        if (mean) g.dbias = caller.empty(x.dtype, {columns});
        float* const splits = column_sum_workspace(rows, columns, caller);  // of the two sums, one after the other
        launch_rows<NormBackward, T>(rows, columns, {grad, in, rows_of<T>(g.dx), w, means, rstds, rows, columns},
                                     caller.stream);
        sum_columns<true>(NormWeightSource<T>{grad, in, means, rstds}, rows, columns, g.dweight.as<T>(), splits,
                          caller.stream);
        if (mean)
            sum_columns<true>(StridedSource<T>{dy.as<T>(), dy.strides[0], dy.strides[1], 0, 1}, rows, columns,
                              g.dbias->as<T>(), splits, caller.stream);
        return g;
    });
}

}  // namespace

Three layer_norm_forward(Array const& x, OptionalArray const& weight, OptionalArray const& bias, double eps,
                         Caller const& caller) {
    Normalized const n = forward("layer_norm_forward", x, weight, bias, eps, true, caller);
    return {n.y, *n.mean, n.rstd};
}

Three layer_norm_backward(Array const& dy, Array const& x, Array const& mean, Array const& rstd,
                          OptionalArray const& weight, Caller const& caller) {
    Gradients const g = backward("layer_norm_backward", dy, x, mean, rstd, weight, caller);
    return {g.dx, g.dweight, *g.dbias};
}

Two rms_norm_forward(Array const& x, OptionalArray const& weight, double eps, Caller const& caller) {
    Normalized const n = forward("rms_norm_forward", x, weight, {}, eps, false, caller);
    return {n.y, n.rstd};
}

Two rms_norm_backward(Array const& dy, Array const& x, Array const& rstd, OptionalArray const& weight,
                      Caller const& caller) {
    Gradients const g = backward("rms_norm_backward", dy, x, {}, rstd, weight, caller);
    return {g.dx, g.dweight};
}

}  // namespace pylayers
