// The shape of a kernel that gives each row of a matrix to a warp or to a block.
#pragma once
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"
#include "kernels/core/reduce.cuh"

namespace pylayers {
using namespace ptx;

// kRowThreads share a row: 32, or the whole block.
template <int kRowThreads> struct RowKernel : PlainKernel<256, 2> {
    static constexpr int kRowsPerBlock = kThreads / kRowThreads;
    static_assert(kRowThreads == kWarp || kRowThreads == kThreads);

    // Calls body(row, lane, turn) for every row of this block's share; all threads of a row come along together.
    // `turn` alternates between 0 and 1, for scratch memory that the previous row may still be reading.
    template <class Body> DEVICE static void for_rows(int64_t rows, Body body) {
        int turn = 0;
        int64_t const step = block_count() * kRowsPerBlock;
        for (int64_t row = block_index() * kRowsPerBlock + thread_index() / kRowThreads; row < rows;
             row += step, turn ^= 1)
            body(row, thread_index() % kRowThreads, turn);
    }
};

// A matrix with any strides: its elements are computed with as float32 and rounded once.
template <class T> struct Rows {
    T* data;
    int64_t row_stride, column_stride;
    DEVICE float at(int64_t row, int64_t column) const {
        return to_float(data[row * row_stride + column * column_stride]);
    }
    DEVICE void put(int64_t row, int64_t column, float value) const {
        data[row * row_stride + column * column_stride] = from_float<T>(value);
    }
};

// A vector with any stride, or none.
template <class T> struct Vector {
    T const* data;
    int64_t stride;
    DEVICE explicit operator bool() const { return data != nullptr; }
    DEVICE float at(int64_t i) const { return to_float(data[i * stride]); }
};

}  // namespace pylayers
