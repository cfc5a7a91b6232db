// Layer norm along each row: xhat = (x - mean) rstd, y = xhat weight + bias, rstd = 1 / sqrt(variance + eps); and its
// gradients dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy weight, dweight = sum over rows of dy xhat.
// RMS norm is the same with 0 in place of both means, of x and of g: rows that are not centred.
#pragma once
#include "kernels/core/rows.cuh"

namespace pylayers {

template <class T> struct NormForwardParams {
    Rows<T> x, y;
    Vector<T> weight, bias;  // (columns,) or none
    float *mean, *rstd;      // (rows,), dense; mean is null where rows are not centred
    int64_t rows, columns;
    float eps;
};

// What brings squares that float32 cannot hold, and sums of them, back into its range; exact, being a power of two.
constexpr float kShrink = 0x1p-96f;

template <class T, int kRowThreads> struct NormForward : RowKernel<kRowThreads> {
    using Params = NormForwardParams<T>;
    struct Shared {
        ReduceScratch<float, kRowThreads> sum, squares, shrunk;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int) {
            float sum = 0.0f, mean = 0.0f;
            if (p.mean) {
                for (int64_t j = lane; j < p.columns; j += kRowThreads) sum += p.x.at(row, j);
                mean = reduce<float, kRowThreads>(sum, shared.sum, Sum{}) / float(p.columns);
            }
            // A second pass over x - mean, not E[x^2] - mean^2: that difference cancels where the mean is large.
            float squares = 0.0f;
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float const d = p.x.at(row, j) - mean;
                squares += d * d;
            }
            squares = reduce<float, kRowThreads>(squares, shared.squares, Sum{});
            float rstd = 1.0f / sqrtf(squares / float(p.columns) + p.eps);
            if (squares == INFINITY) rstd = rstd_of_large(p, shared, row, lane, mean);
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float y = (p.x.at(row, j) - mean) * rstd;
                if (p.weight) y *= p.weight.at(j);
                if (p.bias) y += p.bias.at(j);
                p.y.put(row, j, y);
            }
            if (lane == 0 && p.mean) p.mean[row] = mean;
            if (lane == 0) p.rstd[row] = rstd;
        });
    }

    // Of x beyond 1e19, beside whose variance eps is nothing.
    DEVICE static float rstd_of_large(Params const& p, Shared& shared, int64_t row, int lane, float mean) {
        float squares = 0.0f;
        ROLLED
        for (int64_t j = lane; j < p.columns; j += kRowThreads) {
            float const d = kShrink * (p.x.at(row, j) - mean);
            squares += d * d;
        }
        squares = reduce<float, kRowThreads>(squares, shared.shrunk, Sum{});
        return kShrink / sqrtf(squares / float(p.columns));
    }
};

template <class T> struct NormBackwardParams {
    Rows<T> dy, x, dx;
    Vector<T> weight;          // (columns,) or none
    Vector<float> mean, rstd;  // (rows,); no mean where rows are not centred
    int64_t rows, columns;
};

template <class T, int kRowThreads> struct NormBackward : RowKernel<kRowThreads> {
    using Params = NormBackwardParams<T>;
    struct Shared {
        ReduceScratch<float, kRowThreads> g, g_xhat;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int) {
            float const mean = p.mean ? p.mean.at(row) : 0.0f, rstd = p.rstd.at(row);
            auto g_at = [&](int64_t j) { return p.weight ? p.dy.at(row, j) * p.weight.at(j) : p.dy.at(row, j); };
            float g_sum = 0.0f, g_xhat_sum = 0.0f;
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float const g = g_at(j);
                g_sum += g;
                g_xhat_sum += g * ((p.x.at(row, j) - mean) * rstd);
            }
            float const g_mean = p.mean ? reduce<float, kRowThreads>(g_sum, shared.g, Sum{}) / float(p.columns) : 0.0f;
            float const g_xhat_mean = reduce<float, kRowThreads>(g_xhat_sum, shared.g_xhat, Sum{}) / float(p.columns);
            for (int64_t j = lane; j < p.columns; j += kRowThreads) {
                float const xhat = (p.x.at(row, j) - mean) * rstd;
                p.dx.put(row, j, rstd * (g_at(j) - g_mean - xhat * g_xhat_mean));
            }
        });
    }
};

// dy xhat, to be summed over the rows.
template <class T> struct NormWeightSource {
    Rows<T> dy, x;
    Vector<float> mean, rstd;
    DEVICE float operator()(int64_t row, int64_t column) const {
        return dy.at(row, column) * ((x.at(row, column) - (mean ? mean.at(row) : 0.0f)) * rstd.at(row));
    }
};

}  // namespace pylayers
