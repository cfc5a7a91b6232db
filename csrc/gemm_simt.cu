// Variants of y = epilogue(a b) in float32 on the plain cores, for any chip and any operands.
#include "kernels/gemm_simt.cuh"

#include "csrc/gemm.cuh"
#include "csrc/simt.cuh"

namespace pylayers {
namespace {

MatrixProblem::Matrix matrix(Array const& x) { return {x.as<float const>(), x.strides[0], x.strides[1], x.strides[2]}; }

template <SimtTile T> constexpr GemmVariant row(char const* name) {
    return {.name = name,
            .a = DType::kFloat32,
            .b = DType::kFloat32,
            .precision = Precision::kFloat32,
            .capability = 0,
            .tile_m = T.m,
            .tile_n = T.n,
            .tile_k = T.k,
            .stages = 1,
            .cluster = 1,
            .shared_bytes = int(sizeof(typename GemmSimt<T, MatrixProblem>::Shared)),
            .persistent = false,
            // Of 128 in a clock a small tile leaves more to its loads.
            .rate = T.m >= 128  ? 112
                    : T.m >= 64 ? 96
                                : 48,
            .serves = [](GemmProblem const&) { return true; },
            .run =
                [](GemmProblem const& p, GemmGrid grid, Stream stream) {
                    MatrixProblem const q{
                        p.batches * grid.splits,   p.m, p.n, p.k, matrix(p.a), matrix(p.b), p.epilogue, grid.splits,
                        grid.tiles_per_split * T.k};
                    launch<GemmSimt<T, MatrixProblem>>(grid.blocks, {q}, stream);
                }};
}

}  // namespace

std::span<GemmVariant const> gemm_simt() {
    static constexpr GemmVariant kRows[] = {row<kSimtLarge>("simt_128x128x8"), row<kSimtMiddle>("simt_64x64x16"),
                                            row<kSimtSmall>("simt_32x32x32")};
    return kRows;
}

}  // namespace pylayers
