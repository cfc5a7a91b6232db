// 2-D max pooling: y[n, c, p, q] = max of x over its window, with the index of the maximum in the plane of x; and its
// gradient, gathered by every pixel of x from the windows that cover it, so that the sum has one order.
#pragma once
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

struct PoolShape {
    int64_t n, c, h, w, p, q;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;

    struct Place {
        int64_t n, c, row, column;
    };
    // The place of element i of (n, c, height, width), counted with the channel last where it is so in memory.
    DEVICE Place place(int64_t i, int64_t height, int64_t width, bool channels_last) const {
        if (channels_last) return {i / c / width / height, i % c, i / c / width % height, i / c % width};
        return {i / width / height / c, i / width / height % c, i / width % height, i % width};
    }
};

struct PlaneStrides {
    int64_t n, c, h, w;
    DEVICE int64_t at(PoolShape::Place const& i) const { return i.n * n + i.c * c + i.row * h + i.column * w; }
};

template <class T> struct MaxPoolForward : PlainKernel<256, 4> {
    struct Params {
        PoolShape shape;
        bool channels_last;
        T const* x;
        T* y;
        int64_t* indices;
        PlaneStrides x_strides, y_strides, indices_strides;
    };

    DEVICE static void run(Params const& p, Shared&) {
        PoolShape const& s = p.shape;
        int64_t const size = s.n * s.c * s.p * s.q;
        for (int64_t i = block_index() * kThreads + thread_index(); i < size; i += block_count() * kThreads) {
            PoolShape::Place const o = s.place(i, s.p, s.q, p.channels_last);
            float best = -INFINITY;
            int64_t best_index = -1;
            for (int64_t r = 0; r < s.kernel_h; ++r) {
                int64_t const row = o.row * s.stride_h - s.pad_h + r * s.dilation_h;
                if (row < 0 || row >= s.h) continue;
                for (int64_t t = 0; t < s.kernel_w; ++t) {
                    int64_t const column = o.column * s.stride_w - s.pad_w + t * s.dilation_w;
                    if (column < 0 || column >= s.w) continue;
                    float const x = to_float(p.x[p.x_strides.at({o.n, o.c, row, column})]);
                    // The first pixel stands even at -inf; a NaN wins over everything before it.
                    if (best_index < 0 || x > best || x != x) best = x, best_index = row * s.w + column;
                }
            }
            p.y[p.y_strides.at(o)] = from_float<T>(best);
            p.indices[p.indices_strides.at(o)] = best_index;
        }
    }
};

template <class T> struct MaxPoolBackward : PlainKernel<256, 4> {
    struct Params {
        PoolShape shape;
        bool channels_last;
        T const* dy;
        int64_t const* indices;
        T* dx;
        PlaneStrides dy_strides, indices_strides, dx_strides;
    };

    DEVICE static void run(Params const& p, Shared&) {
        PoolShape const& s = p.shape;
        int64_t const size = s.n * s.c * s.h * s.w;
        for (int64_t i = block_index() * kThreads + thread_index(); i < size; i += block_count() * kThreads) {
            PoolShape::Place const at = s.place(i, s.h, s.w, p.channels_last);
            float sum = 0.0f;
            for (int64_t r = 0; r < s.kernel_h; ++r) {
                int64_t const row = at.row + s.pad_h - r * s.dilation_h;
                if (row < 0 || row % s.stride_h != 0 || row / s.stride_h >= s.p) continue;
                for (int64_t t = 0; t < s.kernel_w; ++t) {
                    int64_t const column = at.column + s.pad_w - t * s.dilation_w;
                    if (column < 0 || column % s.stride_w != 0 || column / s.stride_w >= s.q) continue;
                    PoolShape::Place const o{at.n, at.c, row / s.stride_h, column / s.stride_w};
                    if (p.indices[p.indices_strides.at(o)] == at.row * s.w + at.column)
                        sum += to_float(p.dy[p.dy_strides.at(o)]);
                }
            }
            p.dx[p.dx_strides.at(at)] = from_float<T>(sum);
        }
    }
};

}  // namespace pylayers
