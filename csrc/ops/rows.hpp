// Elementwise ops, and those that give each row of a matrix to a warp or to a block.
#pragma once
#include "csrc/ops/caller.hpp"

namespace pylayers {

NewArray activation_forward(Array const& x, Activation activation, Caller const& caller);
NewArray activation_backward(Array const& dy, Array const& saved, Activation activation, Caller const& caller);

NewArray dropout(Array const& x, double p, uint64_t seed, uint64_t offset, Caller const& caller);

NewArray softmax_forward(Array const& x, bool log, Caller const& caller);
NewArray softmax_backward(Array const& dy, Array const& y, bool log, Caller const& caller);

// y, mean, rstd
Three layer_norm_forward(Array const& x, OptionalArray const& weight, OptionalArray const& bias, double eps,
                         Caller const& caller);
// dx, dweight, dbias
Three layer_norm_backward(Array const& dy, Array const& x, Array const& mean, Array const& rstd,
                          OptionalArray const& weight, Caller const& caller);

// y, rstd
Two rms_norm_forward(Array const& x, OptionalArray const& weight, double eps, Caller const& caller);
// dx, dweight
Two rms_norm_backward(Array const& dy, Array const& x, Array const& rstd, OptionalArray const& weight,
                      Caller const& caller);

// loss, normalizer, gradient
std::tuple<NewArray, NewArray, std::optional<NewArray>> cross_entropy_forward(Array const& x, Array const& labels,
                                                                              OptionalArray const& weight,
                                                                              int64_t ignore_index, double smoothing,
                                                                              Reduction reduction, LossInput kind,
                                                                              bool gradient, Caller const& caller);
NewArray cross_entropy_backward(Array const& dloss, Array const& gradient, Array const& normalizer,
                                Caller const& caller);

inline constexpr auto kRowsOps = std::tuple{
    Op{"activation_forward", &activation_forward},
    Op{"activation_backward", &activation_backward},
    Op{"dropout", &dropout},
    Op{"softmax_forward", &softmax_forward},
    Op{"softmax_backward", &softmax_backward},
    Op{"layer_norm_forward", &layer_norm_forward},
    Op{"layer_norm_backward", &layer_norm_backward},
    Op{"rms_norm_forward", &rms_norm_forward},
    Op{"rms_norm_backward", &rms_norm_backward},
    Op{"cross_entropy_forward", &cross_entropy_forward},
    Op{"cross_entropy_backward", &cross_entropy_backward},
};

}  // namespace pylayers
