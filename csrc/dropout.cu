// Host side of dropout.
#include "kernels/dropout.cuh"

#include "csrc/elementwise.cuh"

namespace pylayers {

NewArray dropout(Array const& x, double p, uint64_t seed, uint64_t offset, Caller const& caller) {
    Dropout const op{{{uint32_t(seed), uint32_t(seed >> 32)}},
                     offset,
                     uint64_t(p * 4294967296.0),
                     p < 1.0 ? float(1.0 / (1.0 - p)) : 0.0f};
    return run_elementwise("dropout", op, Order::kLogical, x, {&x}, caller);
}

}  // namespace pylayers
