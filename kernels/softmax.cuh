// y = softmax(x) or log softmax(x) along each row, and dx from dy and y.
#pragma once
#include "kernels/core/rows.cuh"

namespace pylayers {

template <class T> struct SoftmaxForwardParams {
    Rows<T> x, y;
    int64_t rows, columns;
    bool log;
};

template <class T, int kRowThreads> struct SoftmaxForward : RowKernel<kRowThreads> {
    using Params = SoftmaxForwardParams<T>;
    struct Shared {
        ReduceScratch<float, kRowThreads> max, sum;  // two, so that neither row waits for the other's readers
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int) {
            float max = -INFINITY;
            for (int64_t j = lane; j < p.columns; j += kRowThreads) max = fmaxf(max, p.x.at(row, j));
            max = reduce<float, kRowThreads>(max, shared.max, Max{});
            float sum = 0.0f;
            for (int64_t j = lane; j < p.columns; j += kRowThreads) sum += expf(p.x.at(row, j) - max);
            sum = reduce<float, kRowThreads>(sum, shared.sum, Sum{});
            float const log_sum = logf(sum);
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float const x = p.x.at(row, j) - max;
                p.y.put(row, j, p.log ? x - log_sum : expf(x) / sum);
            }
        });
    }
};

template <class T> struct SoftmaxBackwardParams {
    Rows<T> dy, y, dx;
    int64_t rows, columns;
    bool log;
};

template <class T, int kRowThreads> struct SoftmaxBackward : RowKernel<kRowThreads> {
    using Params = SoftmaxBackwardParams<T>;
    struct Shared {
        ReduceScratch<float, kRowThreads> sum[2];
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int turn) {
            float sum = 0.0f;
            for (int64_t j = lane; j < p.columns; j += kRowThreads)
                sum += p.log ? p.dy.at(row, j) : p.dy.at(row, j) * p.y.at(row, j);
            sum = reduce<float, kRowThreads>(sum, shared.sum[turn], Sum{});
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float const y = p.y.at(row, j), dy = p.dy.at(row, j);
                p.dx.put(row, j, p.log ? dy - expf(y) * sum : y * (dy - sum));
            }
        });
    }
};

}  // namespace pylayers
