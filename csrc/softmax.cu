// Host side of softmax and log softmax along the last axis.
#include "kernels/softmax.cuh"

#include "csrc/ops.hpp"
#include "csrc/rows.cuh"

namespace pylayers {

void softmax_forward(Array x, Array y, bool log, Stream stream) {
    int64_t const rows = x.shape[0], columns = x.shape[1];
    SoftmaxForwardParams const p{rows_of("softmax_forward", "x", x, rows, columns),
                                 rows_of("softmax_forward", "y", y, rows, columns), rows, columns, log};
    launch_rows<SoftmaxForward>(rows, columns, p, stream);
}

void softmax_backward(Array dy, Array y, Array dx, bool log, Stream stream) {
    int64_t const rows = dy.shape[0], columns = dy.shape[1];
    SoftmaxBackwardParams const p{rows_of("softmax_backward", "dy", dy, rows, columns),
                                  rows_of("softmax_backward", "y", y, rows, columns),
                                  rows_of("softmax_backward", "dx", dx, rows, columns),
                                  rows,
                                  columns,
                                  log};
    launch_rows<SoftmaxBackward>(rows, columns, p, stream);
}

}  // namespace pylayers
