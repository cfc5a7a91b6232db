// Every primitive op of the kernels: the list of what exists. An op allocates its results and workspace by its Caller.
#pragma once
#include "csrc/ops/attention.hpp"
#include "csrc/ops/image.hpp"
#include "csrc/ops/matrix.hpp"
#include "csrc/ops/optimizer.hpp"
#include "csrc/ops/rows.hpp"

namespace pylayers {

inline constexpr auto kOps = std::tuple_cat(kMatrixOps, kImageOps, kRowsOps, kAttentionOps, kOptimizerOps);

}  // namespace pylayers
