// What was measured to be quickest for which product, sorted. Written by `python -m evidence.tune gemm --write`; it
// holds no row because nothing has been measured.
#pragma once
#include "csrc/gemm.cuh"

namespace pylayers {

// {a, b, precision, capability, a lies, b lies, batches, m, n, k, variant and splits}
inline constexpr MeasuredGemm kMeasuredGemms[] = {
    {},  // like no problem: an array of nothing would not be one
    // clang-format off
    // clang-format on
};

}  // namespace pylayers
