// Kernels of wgmma of every size: each has an operand list of its own.
#include <utility>

#include "ptx/wgmma.hpp"

namespace pylayers::instruction {
namespace {

template <int... kSizes> void add(Kernels& k, std::integer_sequence<int, kSizes...>) {
    ((k["wgmma_bf16_bf16_" + std::to_string(kSizes)] = kWgmma<ptx::bf16, ptx::bf16, kSizes>), ...);
    ((k["wgmma_registers_bf16_bf16_" + std::to_string(kSizes)] = kWgmma<ptx::bf16, ptx::bf16, kSizes, true>), ...);
    ((k["wgmma_s8_s8_" + std::to_string(kSizes)] = kWgmma<int8_t, int8_t, kSizes>), ...);
    ((k["wgmma_registers_s8_s8_" + std::to_string(kSizes)] = kWgmma<int8_t, int8_t, kSizes, true>), ...);
}

}  // namespace

void add_wgmma_sizes(Kernels& k) {
    add(k, std::integer_sequence<int, 8, 16, 24, 32, 48, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256>());
}

}  // namespace pylayers::instruction
