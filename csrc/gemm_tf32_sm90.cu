// Variants of y = epilogue(a b) on Hopper for float32 whose products may be rounded to tf32.
#include "csrc/gemm_sm90.cuh"

namespace pylayers {

std::span<GemmVariant const> gemm_tf32_sm90() {
    using ptx::tf32;
    static constexpr GemmVariant kRows[] = {
        RowSm90<sm90_128x256(Major::kK, Major::kK), tf32, tf32>::row("sm90_128x256x32_cluster2"),
        RowSm90<sm90_128x128(Major::kK, Major::kK), tf32, tf32>::row("sm90_128x128x32_pingpong"),
        RowSm90<sm90_64x64(Major::kK, Major::kK), tf32, tf32>::row("sm90_64x64x32"),
        RowSm90<kSm90Gathered, tf32, tf32>::row("sm90_128x128x32_gather"),
    };
    return kRows;
}

}  // namespace pylayers
