// Host side of y[c] = sum over o, i of x[o, c, i].
#include "csrc/column_sum.cuh"

#include <cstdlib>

#include "csrc/dispatch.hpp"

namespace pylayers {

NewArray column_sum(Array const& x, Caller const& caller) {
    return with_float("column_sum", "x", x, [&]<class T>() {
        require(x.rank == 3, "column_sum: argument 'x': expected shape (outer, columns, inner), got ", x);
        int64_t const columns = x.shape[1], inner = x.shape[2], rows = x.shape[0] * inner;
        NewArray const y = caller.empty(x.dtype, {columns});
        float* const splits = column_sum_workspace(rows, columns, caller);
        StridedSource<T> const source{x.as<T>(), x.strides[0], x.strides[1], x.strides[2], std::max<int64_t>(inner, 1)};
        if (std::abs(x.strides[1]) <= std::abs(inner > 1 ? x.strides[2] : x.strides[0]))
            sum_columns<true>(source, rows, columns, y.as<T>(), splits, caller.stream);
        else
            sum_columns<false>(source, rows, columns, y.as<T>(), splits, caller.stream);
        return y;
    });
}

}  // namespace pylayers
