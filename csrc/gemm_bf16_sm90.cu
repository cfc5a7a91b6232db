// Variants of y = epilogue(a b) on Hopper for bfloat16.
#include "csrc/gemm_sm90.cuh"

namespace pylayers {

std::span<GemmVariant const> gemm_bf16_sm90() {
    static constexpr auto kRows = rows_sm90<ptx::bf16>();
    return kRows;
}

}  // namespace pylayers
