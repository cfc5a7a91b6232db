// Host side of layer norm.
#include "kernels/norm.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/ops.hpp"
#include "csrc/rows.cuh"

namespace pylayers {
namespace {

float* dense(char const* op, char const* name, Array const& x, int64_t n) {
    require_row(op, name, x, n);
    require(n <= 1 || x.strides[0] == 1, std::string(op) + ": argument '" + name + "': expected a dense vector");
    return x.as<float>();
}

}  // namespace

void layer_norm_forward(Array x, OptionalArray weight, OptionalArray bias, Array y, Array mean, Array rstd, double eps,
                        Stream stream) {
    char const* const op = "layer_norm_forward";
    int64_t const rows = x.shape[0], columns = x.shape[1];
    require_row(op, "weight", weight, columns);
    require_row(op, "bias", bias, columns);
    LayerNormForwardParams const p{rows_of(op, "x", x, rows, columns),
                                   rows_of(op, "y", y, rows, columns),
                                   pointer(weight),
                                   pointer(bias),
                                   stride(weight),
                                   stride(bias),
                                   dense(op, "mean", mean, rows),
                                   dense(op, "rstd", rstd, rows),
                                   rows,
                                   columns,
                                   float(eps)};
    launch_rows<LayerNormForward>(rows, columns, p, stream);
}

void layer_norm_backward(Array dy, Array x, Array mean, Array rstd, OptionalArray weight, Array dx, Array dweight,
                         Array dbias, OptionalArray workspace, Stream stream) {
    char const* const op = "layer_norm_backward";
    int64_t const rows = x.shape[0], columns = x.shape[1];
    require_row(op, "weight", weight, columns);
    LayerNormBackwardParams const p{rows_of(op, "dy", dy, rows, columns),
                                    rows_of(op, "x", x, rows, columns),
                                    rows_of(op, "dx", dx, rows, columns),
                                    pointer(weight),
                                    stride(weight),
                                    dense(op, "mean", mean, rows),
                                    dense(op, "rstd", rstd, rows),
                                    rows,
                                    columns};
    launch_rows<LayerNormBackward>(rows, columns, p, stream);
    dense(op, "dweight", dweight, columns);
    dense(op, "dbias", dbias, columns);
    sum_columns<true>(LayerNormWeightSource{p.dy, p.x, p.mean, p.rstd}, rows, columns, dweight.as<float>(), workspace,
                      stream);
    sum_columns<true>(StridedSource<float>{dy.as<float>(), dy.strides[0], dy.strides[1], 0, 1}, rows, columns,
                      dbias.as<float>(), workspace, stream);
}

}  // namespace pylayers
