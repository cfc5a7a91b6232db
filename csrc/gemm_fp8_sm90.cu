// Variants of y = epilogue(a b) on Hopper for float8_e4m3fn and float8_e5m2 in any pair.
#include "csrc/gemm_sm90.cuh"

namespace pylayers {
namespace {

template <class A, class B>
constexpr std::array kPair{
    RowSm90<kSm90Promoted, A, B>::row("sm90_128x128x128"),
    RowSm90<sm90_64x64(Major::kK, Major::kK), A, B>::row("sm90_64x64x128"),
    RowSm90<kSm90Gathered, A, B>::row("sm90_128x128x128_gather"),
};

}  // namespace

std::span<GemmVariant const> gemm_fp8_sm90() {
    using ptx::e4m3, ptx::e5m2;
    static constexpr auto kRows = [] {
        std::array<GemmVariant, 12> rows{};
        auto at = rows.begin();
        for (auto const& pair : {kPair<e4m3, e4m3>, kPair<e4m3, e5m2>, kPair<e5m2, e4m3>, kPair<e5m2, e5m2>})
            at = std::ranges::copy(pair, at).out;
        return rows;
    }();
    return kRows;
}

}  // namespace pylayers
