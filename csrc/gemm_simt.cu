// Variants of y = epilogue(a b) in float32 on the plain cores, for any chip and any operands.
#include "kernels/gemm_simt.cuh"

#include "csrc/gemm.cuh"
#include "csrc/simt.cuh"

namespace pylayers {
namespace {

MatrixProblem::Matrix matrix(Array const& x) { return {x.as<float const>(), x.strides[0], x.strides[1], x.strides[2]}; }

struct Start {
    template <SimtTile T> static void run(GemmProblem const& p, Division const& by, Stream stream) {
        MatrixProblem const q{p.batches * by.splits,   p.m, p.n, p.k, matrix(p.a), matrix(p.b), p.epilogue, by.splits,
                              by.tiles_per_split * T.k};
        launch<GemmSimt<T, MatrixProblem>>(by.blocks, {q}, stream);
    }
};

}  // namespace

std::span<GemmVariant const> gemm_simt() { return kSimtVariants<GemmProblem, Start>; }

}  // namespace pylayers
