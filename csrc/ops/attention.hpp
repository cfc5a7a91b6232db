// Attention of queries to keys and values.
#pragma once
#include "csrc/ops/caller.hpp"

namespace pylayers {

// o and its log-sum-exp
Two attention_forward(Array const& q, Array const& k, Array const& v, OptionalArray const& mask, double scale,
                      std::optional<int64_t> diagonal, Caller const& caller);
// dq, dk, dv
Three attention_backward(Array const& grad_o, Array const& q, Array const& k, Array const& v, Array const& o,
                         Array const& lse, OptionalArray const& mask, double scale, std::optional<int64_t> diagonal,
                         Caller const& caller);

inline constexpr auto kAttentionOps =
    std::tuple{Op{"attention_forward", &attention_forward}, Op{"attention_backward", &attention_backward}};

}  // namespace pylayers
