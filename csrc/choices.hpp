// What was measured to be quickest for which product, sorted. Written by `python -m evidence.tune FAMILY --write`; it
// holds no row because nothing has been measured.
#pragma once
#include "csrc/variants.hpp"

namespace pylayers {

// {family, capability, key, batches, m, n, k, variant and splits}
inline constexpr Measured kMeasured[] = {
    {},  // no row: an array of nothing would not be one
    // clang-format off
    // clang-format on
};

}  // namespace pylayers
