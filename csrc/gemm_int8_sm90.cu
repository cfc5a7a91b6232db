// Variants of y = epilogue(a b) on Hopper for int8.
#include "csrc/gemm_sm90.cuh"

namespace pylayers {

std::span<GemmVariant const> gemm_int8_sm90() {
    static constexpr GemmVariant kRows[] = {
        RowSm90<sm90_128x128(Major::kK, Major::kK), int8_t, int8_t>::row("sm90_128x128x128_pingpong"),
        RowSm90<sm90_64x64(Major::kK, Major::kK), int8_t, int8_t>::row("sm90_64x64x128"),
        RowSm90<kSm90Gathered, int8_t, int8_t>::row("sm90_128x128x128_gather"),
    };
    return kRows;
}

}  // namespace pylayers
