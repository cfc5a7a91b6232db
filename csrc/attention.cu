// Host side of small attention: the row length chooses the variant.
#include "kernels/attention.cuh"

#include <algorithm>

#include "csrc/launch.cuh"
#include "csrc/ops.hpp"

namespace pylayers {
namespace {

HeadRows heads_of(char const* op, char const* name, Array const& x, int64_t batch, int64_t heads, int64_t rows,
                  int64_t columns) {
    require_dtype(op, name, x, DType::kFloat32);
    require_shape(op, name, x, {batch, heads, rows, columns});
    return {x.as<float>(), x.strides[0], x.strides[1], x.strides[2], x.strides[3]};
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
    if (mask) s.mask = heads_of(op, "mask", *mask, batch, heads, queries, keys);
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

void attention_forward(Array q, Array k, Array v, OptionalArray mask, Array o, Array lse, double scale,
                       std::optional<int64_t> diagonal, Stream stream) {
    char const* const op = "attention_forward";
    AttentionShape const s = shape_of(op, q, k, v, mask, scale, diagonal);
    require_shape(op, "lse", lse, {s.batch, s.heads, s.queries});
    run<AttentionForward>(
        s.queries, AttentionForwardParams{s, heads_of(op, "o", o, s.batch, s.heads, s.queries, s.e), lse.as<float>()},
        stream);
}

int64_t attention_backward_workspace_bytes(int64_t batch, int64_t heads, int64_t queries) {
    return batch * heads * queries * int64_t(sizeof(float));
}

void attention_backward(Array grad_o, Array q, Array k, Array v, Array o, Array lse, OptionalArray mask, Array dq,
                        Array dk, Array dv, Array workspace, double scale, std::optional<int64_t> diagonal,
                        Stream stream) {
    char const* const op = "attention_backward";
    AttentionShape const s = shape_of(op, q, k, v, mask, scale, diagonal);
    require_shape(op, "lse", lse, {s.batch, s.heads, s.queries});
    AttentionBackwardParams const p{s,
                                    heads_of(op, "o", o, s.batch, s.heads, s.queries, s.e),
                                    heads_of(op, "do", grad_o, s.batch, s.heads, s.queries, s.e),
                                    heads_of(op, "dq", dq, s.batch, s.heads, s.queries, s.d),
                                    heads_of(op, "dk", dk, s.batch, s.heads, s.keys, s.d),
                                    heads_of(op, "dv", dv, s.batch, s.heads, s.keys, s.e),
                                    lse.as<float>(),
                                    workspace.as<float>()};
    run<AttentionQueryGradient>(s.queries, p, stream);
    run<AttentionKeyGradient>(s.keys, p, stream);
}

}  // namespace pylayers
