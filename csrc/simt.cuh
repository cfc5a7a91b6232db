// The tiles that GemmSimt is compiled for, as the rows that every product on the plain cores has in its table.
#pragma once
#include "csrc/launch.cuh"
#include "csrc/variants.hpp"
#include "kernels/gemm_simt.cuh"

namespace pylayers {

constexpr SimtTile kSimtLarge{.m = 128, .n = 128, .k = 8, .thread_m = 8, .thread_n = 8};
constexpr SimtTile kSimtMiddle{.m = 64, .n = 64, .k = 16, .thread_m = 4, .thread_n = 4};
constexpr SimtTile kSimtSmall{.m = 32, .n = 32, .k = 32, .thread_m = 2, .thread_n = 4};

// float32 on any chip, whatever the operands. Start::run<T> launches what computes the Problem by tiles T.
template <class Problem, class Start, SimtTile T> constexpr Variant<Problem> simt_row(char const* name) {
    return {.facts = {.name = name,
                      .a = DType::kFloat32,
                      .b = DType::kFloat32,
                      .precision = Precision::kFloat32,
                      .capability = 0,
                      .tile_m = T.m,
                      .tile_n = T.n,
                      .tile_k = T.k,
                      .stages = 1,
                      .cluster = 1,
                      .shared_bytes = int(sizeof(SimtStage<T>)),
                      .persistent = false,
                      // Of 128 in a clock a small tile leaves more to its loads.
                      .rate = T.m >= 128  ? 112
                              : T.m >= 64 ? 96
                                          : 48},
            .serves = [](Problem const&) { return true; },
            .run = &Start::template run<T>};
}

// This table is the only list of instantiations.
template <class Problem, class Start>
constexpr Variant<Problem> kSimtVariants[] = {
    simt_row<Problem, Start, kSimtLarge>("simt_128x128x8"),
    simt_row<Problem, Start, kSimtMiddle>("simt_64x64x16"),
    simt_row<Problem, Start, kSimtSmall>("simt_32x32x32"),
};

}  // namespace pylayers
