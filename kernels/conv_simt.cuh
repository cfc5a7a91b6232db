// 2-D convolution in float32 as three implicit matrix products, each only a way to address the operands of GemmSimt:
//   forward          y[(n p q), k]       = sum over (r s c) of  x[n, c, h, w] weight[k, c, r, s]
//   input gradient   dx[(n h w), c]      = sum over (r s k) of  dy[n, k, p, q] weight[k, c, r, s]
//   weight gradient  dweight[k, (r s c)] = sum over (n p q) of  dy[n, k, p, q] x[n, c, h, w]
// with h = p stride + r dilation - padding, w likewise, and c, k inside one group. The channel runs fastest in (r s c).
#pragma once
#include "kernels/gemm_simt.cuh"

namespace pylayers {

struct Strides4 {
    int64_t n, c, h, w;
    DEVICE int64_t at(int64_t in, int64_t ic, int64_t ih, int64_t iw) const {
        return in * n + ic * c + ih * h + iw * w;
    }
};

// Index: the integer that counts pixels; 32 bits where the plan proves that they suffice, since it is divided often.
template <class Index> struct ConvShape {
    Index n, h, w, p, q;  // images, input and output pixels
    Index r, s;           // taps
    Index groups, c, k;   // input and output channels of one group
    Index stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    float const *x, *weight, *dy;
    Strides4 x_strides, weight_strides, y_strides;  // (n, c, h, w), (k, c, r, s), (n, k, p, q)

    struct Pixel {
        Index n, row, column;
    };
    struct Tap {
        Index r, s, channel;
    };

    DEVICE static Pixel pixel(Index index, Index height, Index width) {
        return {index / (height * width), index / width % height, index % width};
    }
    DEVICE Tap tap(Index index, Index channels) const {
        return {index / channels / s, index / channels % s, index % channels};
    }

    // x under output pixel `o` and tap `t`; zero in the padding.
    DEVICE float input(Index group, Pixel o, Tap t) const {
        Index const ih = o.row * stride_h + t.r * dilation_h - pad_h,
                    iw = o.column * stride_w + t.s * dilation_w - pad_w;
        if (ih < 0 || ih >= h || iw < 0 || iw >= w) return 0.0f;
        return x[x_strides.at(o.n, group * c + t.channel, ih, iw)];
    }
    // dy at the output pixel that input pixel `i` meets through tap `t`; zero where there is none.
    DEVICE float output_gradient(Index group, Pixel i, Tap t) const {
        Index const row = i.row + pad_h - t.r * dilation_h, column = i.column + pad_w - t.s * dilation_w;
        if (row < 0 || column < 0 || row % stride_h != 0 || column % stride_w != 0) return 0.0f;
        if (row / stride_h >= p || column / stride_w >= q) return 0.0f;
        return dy[y_strides.at(i.n, group * k + t.channel, row / stride_h, column / stride_w)];
    }
};

template <class Index> struct ConvForward {
    ConvShape<Index> conv;
    int64_t batches, m, n, k;  // groups, pixels of y, output channels and taps of one group
    float* y;
    float const* bias;
    int64_t bias_stride;
    Activation activation;

    explicit ConvForward(ConvShape<Index> const& shape)
        : conv(shape), batches(conv.groups), m(int64_t(conv.n) * conv.p * conv.q), n(conv.k),
          k(int64_t(conv.r) * conv.s * conv.c) {}

    DEVICE int64_t k_begin(int64_t) const { return 0; }
    DEVICE int64_t k_end(int64_t) const { return k; }
    DEVICE bool a_along_k() const { return conv.x_strides.c == 1 && conv.c > 1; }
    DEVICE bool b_along_k() const { return true; }
    DEVICE float a(int64_t group, int64_t row, int64_t i) const {
        return conv.input(Index(group), conv.pixel(Index(row), conv.p, conv.q), conv.tap(Index(i), conv.c));
    }
    DEVICE float b(int64_t group, int64_t i, int64_t column) const {
        auto const t = conv.tap(Index(i), conv.c);
        return conv.weight[conv.weight_strides.at(group * conv.k + column, t.channel, t.r, t.s)];
    }
    DEVICE void store(int64_t group, int64_t row, int64_t column, float sum) const {
        auto const o = conv.pixel(Index(row), conv.p, conv.q);
        int64_t const channel = group * conv.k + column;
        y[conv.y_strides.at(o.n, channel, o.row, o.column)] =
            activate(sum + (bias ? bias[channel * bias_stride] : 0.0f), activation);
    }
};

template <class Index> struct ConvInputGradient {
    ConvShape<Index> conv;
    int64_t batches, m, n, k;  // groups, pixels of x, input channels and taps of one group
    float* dx;

    explicit ConvInputGradient(ConvShape<Index> const& shape)
        : conv(shape), batches(conv.groups), m(int64_t(conv.n) * conv.h * conv.w), n(conv.c),
          k(int64_t(conv.r) * conv.s * conv.k) {}

    DEVICE int64_t k_begin(int64_t) const { return 0; }
    DEVICE int64_t k_end(int64_t) const { return k; }
    DEVICE bool a_along_k() const { return conv.y_strides.c == 1 && conv.k > 1; }
    DEVICE bool b_along_k() const { return false; }
    DEVICE float a(int64_t group, int64_t row, int64_t i) const {
        return conv.output_gradient(Index(group), conv.pixel(Index(row), conv.h, conv.w), conv.tap(Index(i), conv.k));
    }
    DEVICE float b(int64_t group, int64_t i, int64_t column) const {
        auto const t = conv.tap(Index(i), conv.k);
        return conv.weight[conv.weight_strides.at(group * conv.k + t.channel, column, t.r, t.s)];
    }
    DEVICE void store(int64_t group, int64_t row, int64_t column, float sum) const {
        auto const i = conv.pixel(Index(row), conv.h, conv.w);
        dx[conv.x_strides.at(i.n, group * conv.c + column, i.row, i.column)] = sum;
    }
};

// The pixels are many and the weights few: `splits` blocks share the sum of one tile, each into its own slice.
template <class Index> struct ConvWeightGradient {
    ConvShape<Index> conv;
    int64_t batches, m, n, k;  // groups * splits, output channels, taps and pixels of y
    int64_t splits, pixels_per_split;
    float* dweight;  // (splits, groups * k, c, r, s), dense

    ConvWeightGradient(ConvShape<Index> const& shape, int64_t split_count)
        : conv(shape), batches(conv.groups * split_count), m(conv.k), n(int64_t(conv.r) * conv.s * conv.c),
          k(int64_t(conv.n) * conv.p * conv.q), splits(split_count), pixels_per_split(divide_up(k, split_count)) {}

    DEVICE int64_t k_begin(int64_t z) const { return z % splits * pixels_per_split; }
    DEVICE int64_t k_end(int64_t z) const {
        int64_t const end = k_begin(z) + pixels_per_split;
        return end < k ? end : k;
    }
    DEVICE bool a_along_k() const { return conv.y_strides.c != 1; }
    DEVICE bool b_along_k() const { return conv.x_strides.c != 1 || conv.c == 1; }
    DEVICE float a(int64_t z, int64_t row, int64_t i) const {
        auto const o = conv.pixel(Index(i), conv.p, conv.q);
        return conv.dy[conv.y_strides.at(o.n, z / splits * conv.k + row, o.row, o.column)];
    }
    DEVICE float b(int64_t z, int64_t i, int64_t column) const {
        return conv.input(Index(z / splits), conv.pixel(Index(i), conv.p, conv.q), conv.tap(Index(column), conv.c));
    }
    DEVICE void store(int64_t z, int64_t row, int64_t column, float sum) const {
        auto const t = conv.tap(Index(column), conv.c);
        int64_t const channel = z / splits * conv.k + row;
        dweight[(((z % splits * conv.groups * conv.k + channel) * conv.c + t.channel) * conv.r + t.r) * conv.s + t.s] =
            sum;
    }
};

}  // namespace pylayers
