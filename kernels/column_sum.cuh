// y[split, c] = sum of source(row, c) over the split's share of the rows: a block takes 32 columns or one column,
// whichever has neighbours in memory side by side.
#pragma once
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

// Row (o, i) and column c of x (outer, columns, inner).
template <class T> struct StridedSource {
    T const* x;
    int64_t outer_stride, column_stride, inner_stride, inner;
    DEVICE float operator()(int64_t row, int64_t column) const {
        return to_float(x[row / inner * outer_stride + column * column_stride + row % inner * inner_stride]);
    }
};

// kAlongColumns: a warp reads 32 columns of one row; otherwise the block reads one column.
template <bool kAlongColumns, class Source, class Out> struct ColumnSum : PlainKernel<256, 4> {
    static constexpr int kColumns = kAlongColumns ? kWarp : 1;  // of one block
    static constexpr int kRows = kThreads / kColumns;           // read at once

    struct Params {
        Source source;
        int64_t rows, columns, rows_per_split;
        Out* y;  // (splits, columns), dense
    };

    struct Shared {
        float partial[kRows][kColumns];
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        int64_t const tiles = divide_up(p.columns, kColumns);
        int64_t const split = block_index() / tiles;
        int const row0 = thread_index() / kColumns, column0 = thread_index() % kColumns;
        int64_t const column = block_index() % tiles * kColumns + column0;
        int64_t const begin = split * p.rows_per_split;
        int64_t const end = p.rows < begin + p.rows_per_split ? p.rows : begin + p.rows_per_split;
        float sum = 0.0f;
        if (column < p.columns)
            for (int64_t row = begin + row0; row < end; row += kRows) sum += p.source(row, column);
        shared.partial[row0][column0] = sum;
        for (int half = kRows / 2; half > 0; half /= 2) {
            sync_block();
            if (row0 < half) shared.partial[row0][column0] += shared.partial[row0 + half][column0];
        }
        if (row0 == 0 && column < p.columns)
            p.y[split * p.columns + column] = from_float<Out>(shared.partial[0][column0]);
    }
};

}  // namespace pylayers
