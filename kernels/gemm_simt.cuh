// y[z] = epilogue(a[z] b[z]) in float32 on the plain cores, for any operands that can be read element by element:
// each block takes one tile of y, stages a and b through shared memory and keeps its part of y in registers.
#pragma once
#include "kernels/core/epilogue.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

struct SimtTile {
    int m, n, k;             // of y and of the shared dimension
    int thread_m, thread_n;  // of y for one thread
};

template <SimtTile T> struct SimtStage {
    float a[T.k][T.m + 1];  // one more, so that a column is not one bank
    float b[T.k][T.n + 1];
};

// Problem: sizes m, n, k and batches; a(z, row, i), b(z, i, column), store(z, row, column, sum); k_begin(z), k_end(z);
// a_along_k() and b_along_k() say whether neighbours along k are neighbours in memory.
template <SimtTile T, class Problem> struct GemmSimt {
    static constexpr int kColumns = T.n / T.thread_n;  // threads along n
    static constexpr int kRows = T.m / T.thread_m;
    static constexpr int kThreads = kRows * kColumns;
    static constexpr int kBlocksPerSm = 1;
    static constexpr Target kTarget = Target::kAny;
    static_assert(T.m * T.k % kThreads == 0 && T.n * T.k % kThreads == 0,
                  "every thread loads the same number of elements");

    struct Params {
        Problem problem;
    };

    using Shared = SimtStage<T>;

    DEVICE static void run(Params const& params, Shared& shared) {
        Problem const& p = params.problem;
        int64_t const tiles_m = divide_up(p.m, T.m), tiles_n = divide_up(p.n, T.n);
        int64_t const z = block_index() / (tiles_m * tiles_n);
        int64_t const row0 = block_index() / tiles_n % tiles_m * T.m;
        int64_t const column0 = block_index() % tiles_n * T.n;
        int const thread_row = thread_index() / kColumns, thread_column = thread_index() % kColumns;

        float sum[T.thread_m][T.thread_n] = {};
        for (int64_t k0 = p.k_begin(z); k0 < p.k_end(z); k0 += T.k) {
            load<T.m>(shared.a, p.a_along_k(), p.m - row0, p.k_end(z) - k0,
                      [&](int row, int i) { return p.a(z, row0 + row, k0 + i); });
            load<T.n>(shared.b, p.b_along_k(), p.n - column0, p.k_end(z) - k0,
                      [&](int column, int i) { return p.b(z, k0 + i, column0 + column); });
            sync_block();
            UNROLL
            for (int i = 0; i < T.k; ++i) {
                float a[T.thread_m], b[T.thread_n];
                UNROLL
                for (int r = 0; r < T.thread_m; ++r) a[r] = shared.a[i][thread_row + r * kRows];
                UNROLL
                for (int c = 0; c < T.thread_n; ++c) b[c] = shared.b[i][thread_column + c * kColumns];
                UNROLL
                for (int r = 0; r < T.thread_m; ++r) UNROLL
                for (int c = 0; c < T.thread_n; ++c) sum[r][c] = fmaf(a[r], b[c], sum[r][c]);
            }
            sync_block();  // before the next tiles overwrite these
        }
        UNROLL
        for (int r = 0; r < T.thread_m; ++r) UNROLL
        for (int c = 0; c < T.thread_n; ++c) {
            int64_t const row = row0 + thread_row + r * kRows, column = column0 + thread_column + c * kColumns;
            if (row < p.m && column < p.n) p.store(z, row, column, sum[r][c]);
        }
    }

    // Fills tile[k][kSize] with element(j, i), zero where j or i lies outside; neighbouring threads read neighbours.
    template <int kSize, class Element>
    DEVICE static void load(float (&tile)[T.k][kSize + 1], bool along_k, int64_t size, int64_t k, Element element) {
        UNROLL
        for (int e = thread_index(); e < kSize * T.k; e += kThreads) {
            int const j = along_k ? e / T.k : e % kSize, i = along_k ? e % T.k : e / kSize;
            tile[i][j] = j < size && i < k ? element(j, i) : 0.0f;
        }
    }
};

// The operands of y[z] = epilogue(a[z] b[z]), anywhere in memory; k in parts, each with its own row of y.
struct MatrixProblem {
    struct Matrix {
        float const* data;
        int64_t batch, row, column;  // strides
        DEVICE float at(int64_t z, int64_t i, int64_t j) const { return data[z * batch + i * row + j * column]; }
    };

    int64_t batches;  // of y: splits for each of a and b
    int64_t m, n, k;
    Matrix a_, b_;
    Epilogue epilogue;
    int64_t splits, k_per_split;

    DEVICE int64_t k_begin(int64_t z) const { return z % splits * k_per_split; }
    DEVICE int64_t k_end(int64_t z) const { return k_begin(z) + k_per_split < k ? k_begin(z) + k_per_split : k; }
    DEVICE bool a_along_k() const { return a_.column == 1; }
    DEVICE bool b_along_k() const { return b_.row == 1; }
    DEVICE float a(int64_t z, int64_t row, int64_t i) const { return a_.at(z / splits, row, i); }
    DEVICE float b(int64_t z, int64_t i, int64_t column) const { return b_.at(z / splits, i, column); }
    DEVICE void store(int64_t z, int64_t row, int64_t column, float sum) const {
        store_one(epilogue, z, row, column, sum);
    }
};

}  // namespace pylayers
