// Host side of small attention: the row length chooses the variant.
#include "kernels/attention.cuh"

#include <algorithm>

#include "csrc/launch.cuh"
#include "csrc/ops/attention.hpp"

namespace pylayers {
namespace {

HeadRows heads_of(Array const& x) { return {x.as<float>(), x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

HeadRows heads_of(char const* op, char const* name, Array const& x, int64_t batch, int64_t heads, int64_t rows,
                  int64_t columns) {
    require_dtype(op, name, x, DType::kFloat32);
    require_shape(op, name, x, {batch, heads, rows, columns});
    return heads_of(x);
}

// x as an array of this shape, whose axes of one element stand for all.
Array spread(char const* op, Array x, std::array<int64_t, 4> shape) {
    require(x.rank <= 4, op, ": argument 'mask': expected at most 4 axes, got ", x);
    Array y{.dtype = x.dtype, .rank = 4, .data = x.data, .device = x.device};
    for (int i = 0; i < 4; ++i) {
        int const from = i - (4 - x.rank);
        int64_t const size = from < 0 ? 1 : x.shape[from];
        require(size == 1 || size == shape[i], op,
                ": argument 'mask': expected a shape that spreads over the scores, got ", x);
        y.shape[i] = shape[i];
        y.strides[i] = size == 1 ? 0 : x.strides[from];
    }
    return y;
}

AttentionShape shape_of(char const* op, Array const& q, Array const& k, Array const& v, OptionalArray const& mask,
                        double scale, std::optional<int64_t> diagonal) {
    int64_t const batch = q.shape[0], heads = q.shape[1], queries = q.shape[2], keys = k.shape[2], d = q.shape[3],
                  e = v.shape[3];
    if (std::max(d, e) > 256)
        throw NotImplemented(std::string(op) + ": argument 'q': expected at most 256 columns a head, got " +
                             std::to_string(std::max(d, e)) + "; the kernels of this backend hold no more");
    AttentionShape s{
        batch, heads, queries, keys, int(d), int(e), float(scale), diagonal.has_value(), diagonal.value_or(0)};
    s.q = heads_of(op, "q", q, batch, heads, queries, d);
    s.k = heads_of(op, "k", k, batch, heads, keys, d);
    s.v = heads_of(op, "v", v, batch, heads, keys, e);
    if (mask)
        s.mask = heads_of(op, "mask", spread(op, *mask, {batch, heads, queries, keys}), batch, heads, queries, keys);
    return s;
}

template <template <int> class Kernel, class Params> void run(int64_t rows, Params const& p, Stream stream) {
    AttentionShape const& s = p.shape;
    int64_t const blocks = striding_blocks(divide_up(s.batch * s.heads * rows, Kernel<2>::kWarps), stream);
    int const columns = std::max(s.d, s.e);
    if (columns <= 2 * kWarp)
        launch<Kernel<2>>(blocks, p, stream);
    else
        launch<Kernel<8>>(blocks, p, stream);
}

}  // namespace

Two attention_forward(Array const& q, Array const& k, Array const& v, OptionalArray const& mask, double scale,
                      std::optional<int64_t> diagonal, Caller const& caller) {
    char const* const op = "attention_forward";
    AttentionShape const s = shape_of(op, q, k, v, mask, scale, diagonal);
    Extents o_shape = q.shape;
    o_shape[3] = s.e;
    NewArray const o = caller.like(q, q.dtype, o_shape),
                   lse = caller.empty(DType::kFloat32, {s.batch, s.heads, s.queries});
    run<AttentionForward>(s.queries, AttentionForwardParams{s, heads_of(o), lse.as<float>()}, caller.stream);
    return {o, lse};
}

Three attention_backward(Array const& grad_o, Array const& q, Array const& k, Array const& v, Array const& o,
                         Array const& lse, OptionalArray const& mask, double scale, std::optional<int64_t> diagonal,
                         Caller const& caller) {
    char const* const op = "attention_backward";
    AttentionShape const s = shape_of(op, q, k, v, mask, scale, diagonal);
    require_shape(op, "lse", lse, {s.batch, s.heads, s.queries});
    HeadRows const out = heads_of(op, "o", o, s.batch, s.heads, s.queries, s.e),
                   grad = heads_of(op, "do", grad_o, s.batch, s.heads, s.queries, s.e);
    NewArray const dq = caller.like(q), dk = caller.like(k), dv = caller.like(v);
    float* const delta = caller.workspace<float>(s.batch * s.heads * s.queries);
    AttentionBackwardParams const p{s, out, grad, heads_of(dq), heads_of(dk), heads_of(dv), lse.as<float>(), delta};
    run<AttentionQueryGradient>(s.queries, p, caller.stream);
    run<AttentionKeyGradient>(s.keys, p, caller.stream);
    return {dq, dk, dv};
}

}  // namespace pylayers
