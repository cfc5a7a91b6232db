// Runs an elementwise op over arrays of one shape: fewest dimensions, fastest memory last.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <span>

#include "csrc/dispatch.hpp"
#include "csrc/launch.cuh"
#include "csrc/ops/rows.hpp"
#include "kernels/elementwise.cuh"

namespace pylayers {

// kMemory visits elements in the order of y's memory; kLogical in C order, for ops that use the element's number.
enum class Order { kMemory, kLogical };

// Dimensions that are one run of memory in every array become one.
template <int kArrays> StridedIndex<kArrays> collapse(Array const* const (&arrays)[kArrays], Order order) {
    static_assert(kMaxIndexRank == kMaxRank);
    Array const& y = *arrays[0];
    int axes[kMaxRank];
    std::iota(axes, axes + y.rank, 0);
    if (order == Order::kMemory)
        std::stable_sort(axes, axes + y.rank,
                         [&](int a, int b) { return std::abs(y.strides[a]) > std::abs(y.strides[b]); });
    StridedIndex<kArrays> index{};
    for (int axis : std::span(axes, size_t(y.rank))) {
        int64_t const n = y.shape[axis];
        if (n == 1) continue;
        int const last = index.rank - 1;
        bool joins = last >= 0;
        for (int a = 0; joins && a < kArrays; ++a) joins = index.strides[a][last] == n * arrays[a]->strides[axis];
        int const d = joins ? last : index.rank++;
        index.shape[d] = joins ? index.shape[d] * n : n;
        for (int a = 0; a < kArrays; ++a) index.strides[a][d] = arrays[a]->strides[axis];
    }
    return index;
}

// y = op(inputs), in the memory order of `like`; every array has its shape and dtype: float32, bfloat16 or float16.
template <class Op>
NewArray run_elementwise(char const* name, Op op, Order order, Array const& like,
                         Array const* const (&inputs)[Op::kInputs], Caller const& caller) {
    return with_float(name, "x", like, [&]<class T>() {
        using Kernel = Elementwise<Op, T>;
        for (Array const* x : inputs) {
            require_dtype(name, "x", *x, like.dtype);
            require(x->rank == like.rank && x->shape == like.shape, name, ": expected arrays of one shape, got ", like,
                    " and ", *x);
        }
        NewArray const y = caller.like(like);
        typename Kernel::Params p{.op = op, .size = y.size(), .y = y.as<T>()};
        Array const* arrays[Kernel::kArrays] = {&y};
        for (int a = 0; a < Op::kInputs; ++a) {
            arrays[a + 1] = inputs[a];
            p.inputs[a] = inputs[a]->template as<T>();
        }
        p.index = collapse(arrays, order);
        launch<Kernel>(striding_blocks(divide_up(p.size, Kernel::kThreads), caller.stream), p, caller.stream);
        return y;
    });
}

}  // namespace pylayers
