// Host side of dropout.
#include "kernels/dropout.cuh"

#include "csrc/elementwise.cuh"

namespace pylayers {

void dropout(Array x, Array y, double p, uint64_t seed, uint64_t offset, Stream stream) {
    Dropout const op{{{uint32_t(seed), uint32_t(seed >> 32)}},
                     offset,
                     uint64_t(p * 4294967296.0),
                     p < 1.0 ? float(1.0 / (1.0 - p)) : 0.0f};
    run_elementwise("dropout", op, Order::kLogical, y, {&x}, stream);
}

}  // namespace pylayers
