// y[i] = op(i, inputs[0][i], inputs[1][i], ...), computed in float32, arrays of any strides; what op is stands
// elsewhere.
#pragma once
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

constexpr int kMaxIndexRank = 8;

// Where element i of each of kArrays arrays of one shape lies; the last dimension runs fastest.
template <int kArrays> struct StridedIndex {
    int rank;
    int64_t shape[kMaxIndexRank];
    int64_t strides[kArrays][kMaxIndexRank];

    DEVICE void offsets(int64_t i, int64_t (&offset)[kArrays]) const {
        UNROLL
        for (int a = 0; a < kArrays; ++a) offset[a] = 0;
        for (int d = rank - 1; d >= 0; --d) {
            int64_t const at = d > 0 ? i % shape[d] : i;
            UNROLL
            for (int a = 0; a < kArrays; ++a) offset[a] += at * strides[a][d];
            i /= shape[d];
        }
    }
};

// Op: kInputs, and float operator()(int64_t i, float const (&inputs)[kInputs]).
template <class Op, class T> struct Elementwise : PlainKernel<256, 4> {
    static constexpr int kArrays = Op::kInputs + 1;

    struct Params {
        Op op;
        StridedIndex<kArrays> index;
        int64_t size;
        T* y;
        T const* inputs[Op::kInputs];
    };

    DEVICE static void run(Params const& p, Shared&) {
        for (int64_t i = block_index() * kThreads + thread_index(); i < p.size; i += block_count() * kThreads) {
            int64_t offset[kArrays];
            p.index.offsets(i, offset);
            float x[Op::kInputs];
            UNROLL
            for (int a = 0; a < Op::kInputs; ++a) x[a] = to_float(p.inputs[a][offset[a + 1]]);
            p.y[offset[0]] = from_float<T>(p.op(i, x));
        }
    }
};

}  // namespace pylayers
