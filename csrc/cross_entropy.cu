// Host side of the cross-entropy with integer labels.
#include "kernels/cross_entropy.cuh"

#include "csrc/rows.cuh"

namespace pylayers {

std::tuple<NewArray, NewArray, std::optional<NewArray>> cross_entropy_forward(Array const& x, Array const& labels,
                                                                              OptionalArray const& weight,
                                                                              int64_t ignore_index, double smoothing,
                                                                              Reduction reduction, LossInput kind,
                                                                              bool gradient, Caller const& caller) {
    char const* const op = "cross_entropy_forward";
    using Result = std::tuple<NewArray, NewArray, std::optional<NewArray>>;
    return with_float(op, "x", x, [&]<class T>() -> Result {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        require_dtype(op, "labels", labels, DType::kInt64);
        require_shape(op, "labels", labels, {rows});
        bool const by_row = reduction == Reduction::kNone;
        Rows<T> const in = rows_of<T>(op, "x", x, rows, columns);
        Vector<T> const w = vector_of<T>(op, "weight", weight, columns);
        NewArray const loss = caller.empty(x.dtype, {by_row ? rows : 1});
        NewArray const normalizer = caller.empty(DType::kFloat32, {1});
        std::optional<NewArray> slope;
        if (gradient) slope = caller.like(x, DType::kFloat32, x.shape);
        float* const row_loss = caller.workspace<float>(2 * rows);
        CrossEntropyParams<T> const p{in,
                                      slope ? rows_of<float>(*slope) : Rows<float>{},
                                      labels.as<int64_t>(),
                                      labels.strides[0],
                                      w,
                                      by_row ? loss.as<T>() : nullptr,
                                      row_loss,
                                      row_loss + rows,
                                      rows,
                                      columns,
                                      ignore_index,
                                      float(smoothing),
                                      kind};
        launch_rows<CrossEntropyForward, T>(rows, columns, p, caller.stream);
        // Without a reduction there is nothing to add: this only sets the normalizer.
        launch<CrossEntropyReduce<T>>(1,
                                      {row_loss, row_loss + rows, by_row ? 0 : rows, reduction == Reduction::kMean,
                                       by_row ? nullptr : loss.as<T>(), normalizer.as<float>()},
                                      caller.stream);
        return {loss, normalizer, slope};
    });
}

NewArray cross_entropy_backward(Array const& dloss, Array const& gradient, Array const& normalizer,
                                Caller const& caller) {
    char const* const op = "cross_entropy_backward";
    return with_float(op, "dloss", dloss, [&]<class T>() {
        int64_t const rows = gradient.shape[0], columns = gradient.shape[1];
        Rows<float> const slope = rows_of<float>(op, "gradient", gradient, rows, columns);
        Vector<T> const row_gradient = vector_of<T>(op, "dloss", dloss, rows);
        require_row(op, "normalizer", normalizer, 1);
        NewArray const dx = caller.like(gradient, dloss.dtype, gradient.shape);
        launch_rows<CrossEntropyBackward, T>(
            rows, columns, {row_gradient, slope, rows_of<T>(dx), normalizer.as<float>(), rows, columns}, caller.stream);
        return dx;
    });
}

}  // namespace pylayers
