// Cross-entropy of each row with its label, and the gradient of that loss in the same pass; then the reduction over
// rows, and backward, which scales the stored gradient.
#pragma once
#include "kernels/core/rows.cuh"

namespace pylayers {

constexpr float kSmallestProbability = 1e-7f, kLargestProbability = 1.0f - 1e-7f;

template <class T> struct CrossEntropyParams {
    Rows<T> x;
    Rows<float> gradient;  // data may be null
    int64_t const* labels;
    int64_t labels_stride;
    Vector<T> weight;              // (columns,) or none
    T* loss;                       // (rows,), dense; or null, and then
    float *row_loss, *row_weight;  // (rows,), dense: what the reduction adds
    int64_t rows, columns;
    int64_t ignore_index;
    float smoothing;
    LossInput kind;

    DEVICE void put_loss(int64_t row, float value) const {
        if (loss)
            loss[row] = from_float<T>(value);
        else
            row_loss[row] = value;
    }
    DEVICE float class_weight(int64_t j) const { return weight ? weight.at(j) : 1.0f; }
};

template <class T, int kRowThreads> struct CrossEntropyForward : RowKernel<kRowThreads> {
    using Params = CrossEntropyParams<T>;
    struct Shared {
        ReduceScratch<float, kRowThreads> max, sum, weight, weighted_x;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int) {
            int64_t const label = p.labels[row * p.labels_stride];
            bool const ignored = label == p.ignore_index, known = label >= 0 && label < p.columns;
            if (p.kind == LossInput::kLogits)
                from_logits(p, shared, row, lane, label, ignored || !known);
            else
                from_probability(p, row, lane, label, ignored || !known);
            if (lane == 0) {
                p.row_weight[row] = ignored || !known ? 0.0f : p.class_weight(label);
                if (ignored)
                    p.put_loss(row, 0.0f);
                else if (!known)
                    p.put_loss(row, NAN);  // nothing was read out of bounds
            }
        });
    }

    // loss = (1 - s) w_y (lse - x_y) + s / n sum_j w_j (lse - x_j), with s the label smoothing.
    DEVICE static void from_logits(Params const& p, Shared& shared, int64_t row, int lane, int64_t label, bool skip) {
        float max = -INFINITY;
        for (int64_t j = lane; j < p.columns; j += kRowThreads) max = fmaxf(max, p.x.at(row, j));
        max = reduce<float, kRowThreads>(max, shared.max, Max{});
        float sum = 0.0f, weight_sum = 0.0f, weighted_x = 0.0f;
        for (int64_t j = lane; j < p.columns; j += kRowThreads) {
            float const x = p.x.at(row, j) - max;
            sum += expf(x);
            if (p.smoothing > 0.0f) weight_sum += p.class_weight(j), weighted_x += p.class_weight(j) * x;
        }
        sum = reduce<float, kRowThreads>(sum, shared.sum, Sum{});
        weight_sum = reduce<float, kRowThreads>(weight_sum, shared.weight, Sum{});
        weighted_x = reduce<float, kRowThreads>(weighted_x, shared.weighted_x, Sum{});
        float const log_sum = logf(sum), share = p.smoothing / float(p.columns);
        float const hit = skip ? 0.0f : (1.0f - p.smoothing) * p.class_weight(label);
        if (lane == 0 && !skip) {
            float loss = hit * (log_sum - (p.x.at(row, label) - max));
            if (p.smoothing > 0.0f) loss += share * (weight_sum * log_sum - weighted_x);
            p.put_loss(row, loss);
        }
        if (!p.gradient.data) return;
        for (int64_t j = lane; j < p.columns; j += kRowThreads) {
            float const probability = expf(p.x.at(row, j) - max) / sum;
            float g = hit * (probability - (j == label ? 1.0f : 0.0f));
            if (p.smoothing > 0.0f) g += share * (weight_sum * probability - p.class_weight(j));
            p.gradient.put(row, j, skip ? 0.0f : g);
        }
    }

    // loss = -w_y log p_y from p_y or from its logarithm.
    DEVICE static void from_probability(Params const& p, int64_t row, int lane, int64_t label, bool skip) {
        float const weight = skip ? 0.0f : p.class_weight(label), x = skip ? 1.0f : p.x.at(row, label);
        bool const is_log = p.kind == LossInput::kLogProbabilities;
        float const clipped = x < kSmallestProbability  ? kSmallestProbability
                              : x > kLargestProbability ? kLargestProbability
                                                        : x;
        float const slope = is_log                   ? -1.0f
                            : x == clipped || x != x ? -1.0f / x
                                                     : 0.0f;  // nothing flows where it was clipped
        if (lane == 0 && !skip) p.put_loss(row, -weight * (is_log ? x : logf(clipped)));
        if (!p.gradient.data) return;
        for (int64_t j = lane; j < p.columns; j += kRowThreads)
            p.gradient.put(row, j, j == label && !skip ? weight * slope : 0.0f);
    }
};

// Adds the rows' losses and weights in one block; the number of rows is a batch, not a matrix.
template <class T> struct CrossEntropyReduce : PlainKernel<256, 1> {
    struct Params {
        float const *row_loss, *row_weight;
        int64_t rows;
        bool mean;
        T* loss;            // one number, or null where the rows keep theirs
        float* normalizer;  // one number
    };
    struct Shared {
        ReduceScratch<float, kThreads> loss, weight;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        float loss = 0.0f, weight = 0.0f;
        for (int64_t row = thread_index(); row < p.rows; row += kThreads)
            loss += p.row_loss[row], weight += p.row_weight[row];
        loss = reduce<float, kThreads>(loss, shared.loss, Sum{});
        weight = reduce<float, kThreads>(weight, shared.weight, Sum{});
        if (thread_index() != 0) return;
        if (p.loss) p.loss[0] = from_float<T>(p.mean ? loss / weight : loss);
        p.normalizer[0] = p.mean ? weight : 1.0f;
    }
};

template <class T> struct CrossEntropyBackwardParams {
    Vector<T> dloss;  // (rows,)
    Rows<float> gradient;
    Rows<T> dx;
    float const* normalizer;  // one number
    int64_t rows, columns;
};

template <class T, int kRowThreads> struct CrossEntropyBackward : RowKernel<kRowThreads> {
    using Params = CrossEntropyBackwardParams<T>;

    DEVICE static void run(Params const& p, typename RowKernel<kRowThreads>::Shared&) {
        float const normalizer = p.normalizer[0];
        RowKernel<kRowThreads>::for_rows(p.rows, [&](int64_t row, int lane, int) {
            // Where every row was ignored the normalizer is 0, and so is the gradient.
            float const scale = normalizer == 0.0f ? 0.0f : p.dloss.at(row) / normalizer;
            for (int64_t j = lane; j < p.columns; j += kRowThreads) p.dx.put(row, j, p.gradient.at(row, j) * scale);
        });
    }
};

}  // namespace pylayers
