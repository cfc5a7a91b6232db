// Host side of the cross-entropy with integer labels.
#include "kernels/cross_entropy.cuh"

#include "csrc/elementwise.cuh"
#include "csrc/ops.hpp"
#include "csrc/rows.cuh"

namespace pylayers {

int64_t cross_entropy_workspace_bytes(int64_t rows) { return 2 * rows * int64_t(sizeof(float)); }

void cross_entropy_forward(Array x, Array labels, OptionalArray weight, Array loss, Array normalizer,
                           OptionalArray gradient, Array workspace, int64_t ignore_index, double smoothing,
                           Reduction reduction, LossInput kind, Stream stream) {
    char const* const op = "cross_entropy_forward";
    int64_t const rows = x.shape[0], columns = x.shape[1];
    require_dtype(op, "labels", labels, DType::kInt64);
    require_shape(op, "labels", labels, {rows});
    require_row(op, "weight", weight, columns);
    require_row(op, "loss", loss, reduction == Reduction::kNone ? rows : 1);
    require_row(op, "normalizer", normalizer, 1);
    float *const row_loss = workspace.as<float>(), *const row_weight = row_loss + rows;
    CrossEntropyParams const p{rows_of(op, "x", x, rows, columns),
                               gradient ? rows_of(op, "gradient", *gradient, rows, columns) : Rows<float>{},
                               labels.as<int64_t>(),
                               labels.strides[0],
                               pointer(weight),
                               stride(weight),
                               reduction == Reduction::kNone ? loss.as<float>() : row_loss,
                               row_weight,
                               rows,
                               columns,
                               ignore_index,
                               float(smoothing),
                               kind};
    launch_rows<CrossEntropyForward>(rows, columns, p, stream);
    // Without a reduction there is nothing to add: this only sets the normalizer, which is written last.
    CrossEntropyReduce::Params const sum{row_loss,
                                         row_weight,
                                         reduction == Reduction::kNone ? 0 : rows,
                                         reduction == Reduction::kMean,
                                         reduction == Reduction::kNone ? normalizer.as<float>() : loss.as<float>(),
                                         normalizer.as<float>()};
    launch<CrossEntropyReduce>(1, sum, stream);
}

void cross_entropy_backward(Array dloss, Array gradient, Array normalizer, Array dx, Stream stream) {
    auto spread = [&](Array x) {  // over the shape of dx, without copying
        x.shape = dx.shape, x.rank = 2;
        x.strides[0] = x.strides[0] * (dx.shape[0] > 1);
        x.strides[1] = 0;
        return x;
    };
    char const* const op = "cross_entropy_backward";
    require_shape(op, "dloss", dloss, {dx.shape[0]});
    require_shape(op, "normalizer", normalizer, {1});
    normalizer.strides[0] = 0;
    Array const dlosses = spread(dloss), normalizers = spread(normalizer);
    run_elementwise(op, CrossEntropyBackward{}, Order::kMemory, dx, {&gradient, &dlosses, &normalizers}, stream);
}

}  // namespace pylayers
