// y = f(alpha scale_a scale_b sum + bias + beta residual) for the sums of a matrix product, f an activation or the
// product with its derivative: a warp at a time, 16 rows by 32 columns, through shared memory so that it reads and
// writes along rows.
#pragma once
#include "kernels/core/dtype.hpp"
#include "kernels/core/layout.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

struct Epilogue {
    struct Matrix {
        void* data;                  // null: there is none
        int64_t batch, row, column;  // strides in elements
    };
    struct Scale {
        float const* data;  // null: 1
        int64_t stride;     // 0: one for all
        DEVICE float at(int64_t i) const { return data ? data[i * stride] : 1.0f; }
    };

    int64_t m, n;
    Matrix y, residual, saved;  // (batches, m, n)
    Matrix bias;                // (n,)
    Scale scale_a, scale_b;     // of rows and of columns
    float* column_sums;         // (batches, divide_up(m, 16), n): sums of y over 16 rows; null: not wanted
    float alpha, beta;
    DType dtype;  // of y, residual, saved and bias
    Activation activation;
    bool derivative;  // y = v activation'(saved) instead of activation(v)
    bool paired;      // columns 2 i and 2 i + 1 of y, residual and saved may be accessed together
};

constexpr int kEpilogueRows = 16, kEpilogueColumns = 32;

// One warp's sums on their way from accumulators to rows. A row of 40 words keeps both sides free of bank conflicts.
template <class Sum> struct alignas(16) EpilogueTile {
    Sum rows[kEpilogueRows][40];

    // Takes 32 columns of accumulators: four of `mma_d` side by side.
    DEVICE void put(Sum const* d) {
        UNROLL
        for (int i = 0; i < 16; ++i) {
            layout::Position const p = layout::mma_d(thread_index() % kWarp, i % 4);
            rows[p.row][i / 4 * 8 + p.column] = d[i];
        }
    }
};

namespace epilogue_detail {

template <class T> struct alignas(2 * sizeof(T)) Pair {
    T x[2];
};

// N neighbours of a row, or the `count` of them that are inside.
template <class T, int N>
DEVICE void load(float (&v)[N], Epilogue::Matrix const& from, int64_t offset, int count, bool paired) {
    T const* const p = static_cast<T const*>(from.data) + offset;
    if constexpr (N == 2)
        if (paired && count == 2) {
            auto const pair = *reinterpret_cast<Pair<T> const*>(p);
            v[0] = to_float(pair.x[0]), v[1] = to_float(pair.x[1]);
            return;
        }
    UNROLL
    for (int i = 0; i < N; ++i) v[i] = i < count ? to_float(p[i * from.column]) : 0.0f;
}

template <class T>
DEVICE void store(T const (&v)[2], Epilogue::Matrix const& to, int64_t offset, int count, bool paired) {
    T* const p = static_cast<T*>(to.data) + offset;
    if (paired && count == 2) {
        *reinterpret_cast<Pair<T>*>(p) = {v[0], v[1]};
        return;
    }
    p[0] = v[0];
    if (count == 2) p[to.column] = v[1];
}

DEVICE int64_t place(Epilogue::Matrix const& x, int64_t z, int64_t row, int64_t column) {
    return z * x.batch + row * x.row + column * x.column;
}

// What is added to the sums of N columns, and what they are multiplied by before.
template <class T, int N> struct Columns {
    float scale[N], bias[N];

    DEVICE Columns(Epilogue const& e, int64_t column, int count) {
        UNROLL
        for (int i = 0; i < N; ++i) scale[i] = i < count ? e.alpha * e.scale_b.at(column + i) : 0.0f;
        UNROLL
        for (int i = 0; i < N; ++i) bias[i] = 0.0f;
        if (e.bias.data) load<T>(bias, e.bias, column * e.bias.column, count, false);
    }
};

// v = f(...) for `count` of N sums of one row.
template <class T, int N>
DEVICE void apply(Epilogue const& e, Columns<T, N> const& columns, float (&v)[N], int64_t z, int64_t row,
                  int64_t column, int count) {
    float const scale = e.scale_a.at(row);
    UNROLL
    for (int i = 0; i < N; ++i) v[i] = fmaf(v[i], scale * columns.scale[i], columns.bias[i]);
    float other[N];
    if (e.residual.data) {
        load<T>(other, e.residual, place(e.residual, z, row, column), count, e.paired);
        UNROLL
        for (int i = 0; i < N; ++i) v[i] = fmaf(e.beta, other[i], v[i]);
    }
    if (e.activation == Activation::kNone) return;
    if (e.derivative) load<T>(other, e.saved, place(e.saved, z, row, column), count, e.paired);
    UNROLL
    for (int i = 0; i < N; ++i)
        v[i] = e.derivative ? activation_gradient(v[i], other[i], e.activation) : activate(v[i], e.activation);
}

// Half a warp takes a row, each lane two columns.
template <class T, class Sum>
DEVICE void store_floats(Epilogue const& e, EpilogueTile<Sum> const& tile, int64_t z, int64_t row0, int64_t column0) {
    int const half = thread_index() % kWarp / 16, place_in_row = thread_index() % 16 * 2;
    int64_t const column = column0 + place_in_row;
    int const count = column + 2 <= e.n ? 2 : column < e.n ? 1 : 0;
    Columns<T, 2> const columns(e, column, count);
    float sums[2] = {};
    ROLLED
    for (int i = half; i < kEpilogueRows; i += 2) {
        int64_t const row = row0 + i;
        if (row >= e.m || count == 0) break;
        Sum const* const from = &tile.rows[i][place_in_row];
        float v[2] = {to_float(from[0]), to_float(from[1])};
        apply<T>(e, columns, v, z, row, column, count);
        T const rounded[2] = {from_float<T>(v[0]), from_float<T>(v[1])};
        store<T>(rounded, e.y, place(e.y, z, row, column), count, e.paired);
        sums[0] += v[0], sums[1] += v[1];
    }
    if (!e.column_sums) return;
    float* const to = e.column_sums + (z * divide_up(e.m, kEpilogueRows) + row0 / kEpilogueRows) * e.n + column;
    UNROLL
    for (int j = 0; j < 2; ++j) {
        sums[j] += shuffle_xor(sums[j], 16);
        if (half == 0 && j < count && row0 < e.m) to[j] = sums[j];
    }
}

// Exact sums of integers go as they are.
DEVICE void store_integers(Epilogue const& e, EpilogueTile<int32_t> const& tile, int64_t z, int64_t row0,
                           int64_t column0) {
    int const lane = thread_index() % kWarp;
    if (column0 + lane >= e.n) return;
    ROLLED
    for (int i = 0; i < kEpilogueRows && row0 + i < e.m; ++i)
        static_cast<int32_t*>(e.y.data)[place(e.y, z, row0 + i, column0 + lane)] = tile.rows[i][lane];
}

}  // namespace epilogue_detail

// Writes one element of y[z], in float32.
DEVICE void store_one(Epilogue const& e, int64_t z, int64_t row, int64_t column, float sum) {
    using namespace epilogue_detail;
    float v[1] = {sum};
    apply<float>(e, Columns<float, 1>(e, column, 1), v, z, row, column, 1);
    static_cast<float*>(e.y.data)[place(e.y, z, row, column)] = v[0];
}

// Writes 16 rows from row0, a multiple of 16, and 32 columns from column0 of y[z]. The warp calls it when `tile` holds
// their sums; what lies outside of y is left out.
template <class Sum>
DEVICE void store_tile(Epilogue const& e, EpilogueTile<Sum> const& tile, int64_t z, int64_t row0, int64_t column0) {
    using namespace epilogue_detail;
    switch (e.dtype) {
        case DType::kFloat32:
            return store_floats<float>(e, tile, z, row0, column0);
        case DType::kBfloat16:
            return store_floats<bf16>(e, tile, z, row0, column0);
        case DType::kFloat16:
            return store_floats<fp16>(e, tile, z, row0, column0);
        case DType::kInt32:
            if constexpr (std::is_same_v<Sum, int32_t>) store_integers(e, tile, z, row0, column0);
            return;
        default:
            return;
    }
}

}  // namespace pylayers
