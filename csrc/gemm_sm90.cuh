// Rows of the tables of the Hopper kernel: which operands a row serves, its tensor maps, its launch.
#pragma once
#include <algorithm>
#include <array>

#include "csrc/gemm.cuh"
#include "csrc/launch.cuh"
#include "csrc/tensor_map.hpp"
#include "kernels/gemm_sm90.cuh"

namespace pylayers {

template <TileSm90 T, class A, class B> struct RowSm90 {
    using Kernel = GemmSm90<T, A, B>;
    using Params = typename Kernel::Params;
    using Output = typename Kernel::Output;

    static bool serves(GemmProblem const& p) {
        if (T.source == Source::kGather) return true;
        return (T.a == Major::kK ? p.a_access.along_k : p.a_access.along_mn) &&
               (T.b == Major::kK ? p.b_access.along_k : p.b_access.along_mn);
    }

    // Operand x with batches first, and m or n at `outer`, as boxes of `size` m or n by one tile of k.
    static TensorMapSpec operand(Array const& x, int outer, Major major, int size) {
        int const k = 3 - outer, inner = major == Major::kK ? k : outer, other = 3 - inner;
        TensorMapSpec s{.dtype = x.dtype, .tf32 = std::is_same_v<A, ptx::tf32>, .data = x.data, .rank = 3};
        s.swizzle_bytes = kTileRowBytes;
        s.sizes = {std::max<int64_t>(x.shape[inner], 1), std::max<int64_t>(x.shape[other], 1),
                   batched(x) ? x.shape[0] : 1};
        int64_t const any = divide_up(s.sizes[0], 16) * 16;  // where there is one row, its stride means nothing
        s.strides = {1, s.sizes[1] > 1 ? x.strides[other] : any, s.sizes[2] > 1 ? x.strides[0] : any * s.sizes[1]};
        int const span = kTileRowBytes / info(x.dtype).bytes;
        s.box = {span, major == Major::kK ? size : Kernel::kTileK, 1};
        return s;
    }

    static bool batched(Array const& x) { return x.shape[0] > 1 && x.strides[0] != 0; }

    static TensorMapSpec output(Epilogue const& e, int64_t batches, DType dtype) {
        TensorMapSpec s{.dtype = dtype, .data = e.y.data, .rank = 3};
        s.swizzle_bytes = kTileRowBytes;
        s.sizes = {e.n, e.m, batches};
        s.strides = {e.y.column, e.y.row, e.y.batch};
        s.box = {kTileRowBytes / int(sizeof(Output)), kEpilogueRows, 1};
        return s;
    }

    // Whether the epilogue is one that TMA's way to y has, and y is of the type and alignment for it.
    static bool direct(Epilogue const& e, TensorMapSpec const& y) {
        bool const plain = e.activation == Activation::kNone || (e.activation == Activation::kRelu && !e.derivative);
        return e.dtype == kDTypeOf<Output> && plain && !e.residual.data && !e.column_sums && e.scale_a.stride == 0 &&
               e.scale_b.stride == 0 && e.y.column == 1 && why_not_addressable(y).empty();
    }

    static void run(GemmProblem const& p, Division const& by, Stream stream) {
        Params q{};
        if (T.source == Source::kTma && p.k > 0) {
            q.a_map = tensor_map(operand(p.a, 1, T.a, T.a == Major::kK ? T.m : 64));
            q.b_map = tensor_map(operand(p.b, 2, T.b, T.b == Major::kK ? T.n / T.cluster : 64));
        } else if (T.source == Source::kGather) {
            q.a = operand_matrix(p.a, 1), q.b = operand_matrix(p.b, 2);
        }
        q.a_batched = batched(p.a), q.b_batched = batched(p.b);
        q.epilogue = p.epilogue;
        TensorMapSpec const y = output(p.epilogue, p.batches * by.splits, kDTypeOf<Output>);
        q.direct = direct(p.epilogue, y);
        if (q.direct) q.y_map = tensor_map(y);
        q.raster =
            Raster::of(int(p.batches * by.splits), int(divide_up(p.m, T.m * T.cluster)), int(divide_up(p.n, T.n)));
        q.k = p.k;
        q.steps = int(divide_up(p.k, Kernel::kTileK));
        q.steps_per_split = int(by.tiles_per_split), q.splits = int(by.splits);
        launch<Kernel>(by.blocks, q, stream);
    }

    // Eighths of the peak, which is 2048 products of 16 bits in a clock of an SM: a guess until a GPU has measured it.
    static constexpr int kEighths = T.m * T.n >= 128 * 256 ? 8 : T.m * T.n >= 128 * 128 ? 7 : 5;

    static constexpr GemmVariant row(char const* name) {
        return {.facts = {.name = name,
                          .a = kDTypeOf<A>,
                          .b = kDTypeOf<B>,
                          .precision = kPrecisionOf<A>,
                          .capability = 90,
                          .tile_m = T.m,
                          .tile_n = T.n,
                          .tile_k = Kernel::kTileK,
                          .stages = T.stages,
                          .cluster = T.cluster,
                          .shared_bytes = int(sizeof(typename Kernel::Shared)),
                          .persistent = true,
                          .rate = 4096 / int(sizeof(A)) * kEighths / 8 / (T.source == Source::kGather ? 2 : 1)},
                .serves = &serves,
                .run = &run};
    }
};

// Tiles of operands by TMA. Shared memory decides the stages: what 227 KB hold beside 4 KB for each consumer warp.
constexpr TileSm90 sm90_128x256(Major a, Major b) {
    return {128, 256, 4, 2, 2, Schedule::kCooperative, Source::kTma, a, b};
}
constexpr TileSm90 sm90_128x128(Major a, Major b) {
    return {128, 128, 6, 2, 1, Schedule::kPingPong, Source::kTma, a, b};
}
constexpr TileSm90 sm90_64x128(Major a, Major b) {
    return {64, 128, 8, 1, 1, Schedule::kCooperative, Source::kTma, a, b};
}
constexpr TileSm90 sm90_64x64(Major a, Major b) {
    return {64, 64, 12, 1, 1, Schedule::kCooperative, Source::kTma, a, b};
}
// Sums of fp8 take twice the registers, so their tiles are smaller.
constexpr TileSm90 kSm90Promoted{128, 128, 6, 2, 1, Schedule::kCooperative, Source::kTma, Major::kK, Major::kK};
constexpr TileSm90 kSm90Gathered{128, 128, 6, 2, 1, Schedule::kCooperative, Source::kGather, Major::kK, Major::kK};

template <class T, Major a, Major b> constexpr auto rows_sm90_of() {
    return std::array{
        RowSm90<sm90_128x256(a, b), T, T>::row("sm90_128x256x64_cluster2"),
        RowSm90<sm90_128x128(a, b), T, T>::row("sm90_128x128x64_pingpong"),
        RowSm90<sm90_64x128(a, b), T, T>::row("sm90_64x128x64"),
        RowSm90<sm90_64x64(a, b), T, T>::row("sm90_64x64x64"),
    };
}

// The table of a 16-bit type, whose operands may lie either way.
template <class T> constexpr auto rows_sm90() {
    std::array<GemmVariant, 17> rows{};
    auto at = rows.begin();
    at = std::ranges::copy(rows_sm90_of<T, Major::kK, Major::kK>(), at).out;
    at = std::ranges::copy(rows_sm90_of<T, Major::kK, Major::kMn>(), at).out;
    at = std::ranges::copy(rows_sm90_of<T, Major::kMn, Major::kK>(), at).out;
    at = std::ranges::copy(rows_sm90_of<T, Major::kMn, Major::kMn>(), at).out;
    *at = RowSm90<kSm90Gathered, T, T>::row("sm90_128x128x64_gather");
    return rows;
}

}  // namespace pylayers
