// Small attention in float32: o = softmax(scale q k^T + mask) v with its log-sum-exp, and dq, dk, dv. A warp owns one
// row: 32 keys (or queries) at a time each lane holds one score, then the lanes share the row's columns.
#pragma once
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"
#include "kernels/core/reduce.cuh"

namespace pylayers {
using namespace ptx;

struct HeadRows {
    float* data;
    int64_t batch, head, row, column;  // strides
    DEVICE float* at(int64_t b, int64_t h, int64_t i) const { return data + b * batch + h * head + i * row; }
};

struct AttentionShape {
    int64_t batch, heads, queries, keys;
    int d, e;  // columns of q and k, of v and o
    float scale;
    bool limited;  // query i sees keys j <= i + diagonal only
    int64_t diagonal;
    HeadRows q, k, v, mask;  // mask.data may be null

    DEVICE static float dot(float const* a, int64_t a_stride, float const* b, int64_t b_stride, int n) {
        float sum = 0.0f;
        for (int i = 0; i < n; ++i) sum = fmaf(a[i * a_stride], b[i * b_stride], sum);
        return sum;
    }
    // The score of query i and key j, -inf where j is out of sight.
    DEVICE float score(int64_t b, int64_t h, int64_t i, int64_t j) const {
        if (i >= queries || j >= keys || (limited && j > i + diagonal)) return -INFINITY;
        float const m = mask.data ? mask.at(b, h, i)[j * mask.column] : 0.0f;
        if (m == -INFINITY) return m;  // whatever the key holds
        return scale * dot(q.at(b, h, i), q.column, k.at(b, h, j), k.column, d) + m;
    }
};

// kColumns: the most columns that a lane keeps of a row of d or e.
template <int kColumns> struct AttentionKernel : PlainKernel<128, 2> {
    static constexpr int kWarps = kThreads / kWarp;

    // Calls body(b, h, row, lane) for every row of every head, a warp each.
    template <class Body> DEVICE static void for_rows(AttentionShape const& s, int64_t rows, Body body) {
        int64_t const step = block_count() * kWarps, all = s.batch * s.heads * rows;
        for (int64_t i = block_index() * kWarps + thread_index() / kWarp; i < all; i += step)
            body(i / rows / s.heads, i / rows % s.heads, i % rows, thread_index() % kWarp);
    }
    // sum[c] += factor * row[lane + 32 c]
    DEVICE static void add(float (&sum)[kColumns], float factor, float const* row, int64_t stride, int n, int lane) {
        UNROLL
        for (int c = 0; c < kColumns; ++c)
            if (lane + kWarp * c < n) sum[c] = fmaf(factor, row[(lane + kWarp * c) * stride], sum[c]);
    }
    // row[lane + 32 c] = factor * sum[c]
    DEVICE static void store(float const (&sum)[kColumns], float factor, float* row, int64_t stride, int n, int lane) {
        UNROLL
        for (int c = 0; c < kColumns; ++c)
            if (lane + kWarp * c < n) row[(lane + kWarp * c) * stride] = factor * sum[c];
    }
};

struct AttentionForwardParams {
    AttentionShape shape;
    HeadRows o;
    float* lse;  // (batch, heads, queries), dense
};

template <int kColumns> struct AttentionForward : AttentionKernel<kColumns> {
    using Params = AttentionForwardParams;
    using Base = AttentionKernel<kColumns>;

    DEVICE static void run(Params const& p, typename Base::Shared&) {
        AttentionShape const& s = p.shape;
        Base::for_rows(s, s.queries, [&](int64_t b, int64_t h, int64_t i, int lane) {
            float max = -INFINITY, sum = 0.0f, o[kColumns] = {};
            for (int64_t j0 = 0; j0 < s.keys; j0 += kWarp) {
                float const score = s.score(b, h, i, j0 + lane);
                float const new_max = fmaxf(max, reduce_warp(score, Max{}));
                bool const hidden = score == -INFINITY;
                if (new_max == -INFINITY && reduce_warp(hidden ? 0.0f : 1.0f, Max{}) == 0.0f)
                    continue;  // no key in sight
                float const correction = expf(max - new_max);
                float const weight = hidden ? -1.0f : expf(score - new_max);  // -1 marks what must not touch v
                sum = sum * correction + reduce_warp(hidden ? 0.0f : weight, Sum{});
                UNROLL
                for (int c = 0; c < kColumns; ++c) o[c] *= correction;
                for (int n = 0; n < kWarp; ++n) {
                    float const w = shuffle(weight, n);
                    if (!(w < 0.0f)) Base::add(o, w, s.v.at(b, h, j0 + n), s.v.column, s.e, lane);
                }
                max = new_max;
            }
            Base::store(o, sum == 0.0f ? 0.0f : 1.0f / sum, p.o.at(b, h, i), p.o.column, s.e, lane);
            if (lane == 0) p.lse[(b * s.heads + h) * s.queries + i] = sum == 0.0f ? -INFINITY : max + logf(sum);
        });
    }
};

struct AttentionBackwardParams {
    AttentionShape shape;
    HeadRows o, grad_o, dq, dk, dv;
    float const* lse;  // (batch, heads, queries), dense
    float* delta;      // the same shape: sum over columns of grad_o o

    DEVICE int64_t query(int64_t b, int64_t h, int64_t i) const { return (b * shape.heads + h) * shape.queries + i; }
    // The softmax weight of query i and key j; hidden ones get -1.
    DEVICE float weight(int64_t b, int64_t h, int64_t i, int64_t j) const {
        float const score = shape.score(b, h, i, j);
        return score == -INFINITY ? -1.0f : expf(score - lse[query(b, h, i)]);
    }
    // The gradient of a score that is not hidden, given its weight and the delta of its query.
    DEVICE float score_gradient(int64_t b, int64_t h, int64_t i, int64_t j, float weight, float row_delta) const {
        float const* const grad_row = grad_o.at(b, h, i);
        float const dp = AttentionShape::dot(grad_row, grad_o.column, shape.v.at(b, h, j), shape.v.column, shape.e);
        return weight * (dp - row_delta);
    }
};

template <int kColumns> struct AttentionQueryGradient : AttentionKernel<kColumns> {
    using Params = AttentionBackwardParams;
    using Base = AttentionKernel<kColumns>;

    DEVICE static void run(Params const& p, typename Base::Shared&) {
        AttentionShape const& s = p.shape;
        Base::for_rows(s, s.queries, [&](int64_t b, int64_t h, int64_t i, int lane) {
            float product = 0.0f;
            for (int c = lane; c < s.e; c += kWarp)
                product += p.grad_o.at(b, h, i)[c * p.grad_o.column] * p.o.at(b, h, i)[c * p.o.column];
            float const delta = reduce_warp(product, Sum{});
            if (lane == 0) p.delta[p.query(b, h, i)] = delta;  // for AttentionKeyGradient
            float dq[kColumns] = {};
            for (int64_t j0 = 0; j0 < s.keys; j0 += kWarp) {
                float const weight = p.weight(b, h, i, j0 + lane);
                float const gradient = weight < 0.0f ? 0.0f : p.score_gradient(b, h, i, j0 + lane, weight, delta);
                for (int n = 0; n < kWarp; ++n) {
                    float const g = shuffle(gradient, n);
                    if (!(shuffle(weight, n) < 0.0f)) Base::add(dq, g, s.k.at(b, h, j0 + n), s.k.column, s.d, lane);
                }
            }
            Base::store(dq, s.scale, p.dq.at(b, h, i), p.dq.column, s.d, lane);
        });
    }
};

// Reads the delta that AttentionQueryGradient wrote.
template <int kColumns> struct AttentionKeyGradient : AttentionKernel<kColumns> {
    using Params = AttentionBackwardParams;
    using Base = AttentionKernel<kColumns>;

    DEVICE static void run(Params const& p, typename Base::Shared&) {
        AttentionShape const& s = p.shape;
        Base::for_rows(s, s.keys, [&](int64_t b, int64_t h, int64_t j, int lane) {
            float dk[kColumns] = {}, dv[kColumns] = {};
            for (int64_t i0 = 0; i0 < s.queries; i0 += kWarp) {
                float const weight = p.weight(b, h, i0 + lane, j);
                float const gradient =
                    weight < 0.0f ? 0.0f
                                  : p.score_gradient(b, h, i0 + lane, j, weight, p.delta[p.query(b, h, i0 + lane)]);
                for (int n = 0; n < kWarp; ++n) {
                    float const w = shuffle(weight, n), g = shuffle(gradient, n);
                    if (w < 0.0f) continue;
                    Base::add(dk, g, s.q.at(b, h, i0 + n), s.q.column, s.d, lane);
                    Base::add(dv, w, p.grad_o.at(b, h, i0 + n), p.grad_o.column, s.e, lane);
                }
            }
            Base::store(dk, s.scale, p.dk.at(b, h, j), p.dk.column, s.d, lane);
            Base::store(dv, 1.0f, p.dv.at(b, h, j), p.dv.column, s.e, lane);
        });
    }
};

}  // namespace pylayers
