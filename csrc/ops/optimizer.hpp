// Updates in place over lists of tensors, one launch for a whole list. Tensor i of each list belongs together.
#pragma once
#include "csrc/ops/caller.hpp"

namespace pylayers {

void sgd(Arrays const& parameters, Arrays const& gradients, OptionalArrays const& momenta, Arrays const& steps,
         SgdRates const& rates, OptionalArray const& norm, Caller const& caller);
void adam(Arrays const& parameters, Arrays const& gradients, Arrays const& exp_avgs, Arrays const& exp_avg_sqs,
          Arrays const& steps, AdamRates const& rates, OptionalArray const& norm, Caller const& caller);
NewArray gradient_norm(Arrays const& gradients, Caller const& caller);

inline constexpr auto kOptimizerOps =
    std::tuple{Op{"sgd", &sgd}, Op{"adam", &adam}, Op{"gradient_norm", &gradient_norm}};

}  // namespace pylayers
