// Variants of y = epilogue(a b) on Hopper for float16.
#include "csrc/gemm_sm90.cuh"

namespace pylayers {

std::span<GemmVariant const> gemm_fp16_sm90() {
    static constexpr auto kRows = rows_sm90<ptx::fp16>();
    return kRows;
}

}  // namespace pylayers
