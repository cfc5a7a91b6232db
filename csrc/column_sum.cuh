// Sums over rows for any source of elements: rows are split over blocks, and a second pass adds the splits.
#pragma once
#include <algorithm>

#include "csrc/launch.cuh"
#include "csrc/ops/matrix.hpp"
#include "kernels/column_sum.cuh"

namespace pylayers {

constexpr int64_t kRowsPerSplit = 1024;  // enough rows for each thread that the second pass stays small

// Enough splits to give every SM a few blocks, none shorter than kRowsPerSplit.
inline int64_t count_row_splits(int64_t rows, int64_t columns, DeviceSpec spec) {
    int64_t const tiles = divide_up(std::max<int64_t>(columns, 1), kWarp);
    return std::clamp<int64_t>(std::min(divide_up(rows, kRowsPerSplit), divide_up(4 * spec.sms, tiles)), 1, 1024);
}

// y[i] = sum over splits of partial[split, i], rounded once; both dense.
template <class Out> void add_splits(float const* partial, int64_t splits, Out* y, int64_t size, Stream stream) {
    using Kernel = ColumnSum<true, StridedSource<float>, Out>;
    StridedSource<float> const source{partial, size, 1, 0, 1};
    launch<Kernel>(divide_up(size, Kernel::kColumns), {source, splits, size, splits, y}, stream);
}

// Memory for the sums of the splits, where there are several: of rows x columns numbers.
inline float* column_sum_workspace(int64_t rows, int64_t columns, Caller const& caller) {
    int64_t const splits = count_row_splits(rows, columns, device_spec(caller.stream.device));
    return splits > 1 ? caller.workspace<float>(splits * columns) : nullptr;
}

// The sums go to y where there is one split, else to the workspace and from there to y.
template <bool kAlongColumns, class Out, class Source>
void sum_columns(Source const& source, int64_t rows, int64_t columns, Out* y, float* workspace, Stream stream) {
    int64_t const splits = count_row_splits(rows, columns, device_spec(stream.device));
    auto const sum = [&]<class To>(To* to) {
        using Kernel = ColumnSum<kAlongColumns, Source, To>;
        launch<Kernel>(splits * divide_up(columns, Kernel::kColumns),
                       {source, rows, columns, divide_up(rows, splits), to}, stream);
    };
    if (splits == 1) return sum(y);
    sum(workspace);
    add_splits(workspace, splits, y, columns, stream);
}

}  // namespace pylayers
