// Host side of softmax and log softmax along the last axis.
#include "kernels/softmax.cuh"

#include "csrc/rows.cuh"

namespace pylayers {

NewArray softmax_forward(Array const& x, bool log, Caller const& caller) {
    return with_float("softmax_forward", "x", x, [&]<class T>() {
        int64_t const rows = x.shape[0], columns = x.shape[1];
        Rows<T> const in = rows_of<T>("softmax_forward", "x", x, rows, columns);
        NewArray const y = caller.like(x);
        launch_rows<SoftmaxForward, T>(rows, columns, {in, rows_of<T>(y), rows, columns, log}, caller.stream);
        return y;
    });
}

NewArray softmax_backward(Array const& dy, Array const& y, bool log, Caller const& caller) {
    return with_float("softmax_backward", "dy", dy, [&]<class T>() {
        int64_t const rows = dy.shape[0], columns = dy.shape[1];
        Rows<T> const in = rows_of<T>("softmax_backward", "dy", dy, rows, columns),
                      out = rows_of<T>("softmax_backward", "y", y, rows, columns);
        NewArray const dx = caller.like(y);
        launch_rows<SoftmaxBackward, T>(rows, columns, {in, out, rows_of<T>(dx), rows, columns, log}, caller.stream);
        return dx;
    });
}

}  // namespace pylayers
