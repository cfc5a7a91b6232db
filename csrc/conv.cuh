// What the launchers of convolution share: its three directions as problems that a table of variants serves.
#pragma once
#include <algorithm>

#include "csrc/image.hpp"
#include "csrc/simt.cuh"
#include "kernels/conv_simt.cuh"

namespace pylayers {

// One convolution, in whichever direction: y is its result or the gradient of that; all are images.
struct Convolution {
    Array x, weight, y;
    int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};  // padding: before the first pixel
    int64_t groups = 1;
    OptionalArray bias = {};
    Activation activation = Activation::kNone;
    float* dweight = nullptr;  // of every split

    void set_window(Sizes const& steps, Pads const& pads, Sizes const& dilations) {
        for (int i = 0; i < 2; ++i) {
            int const axis = i - 2 + int(steps.size());  // a line is one pixel high
            if (axis < 0) continue;
            stride[i] = steps[axis], padding[i] = pads[axis].first, dilation[i] = dilations[axis];
        }
    }
};

constexpr int64_t kMostIndex32 = int64_t(1) << 30;  // leaves room for stride, tap and padding to be added

inline Strides4 strides(Array const& x) { return {x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

template <class Index> ConvShape<Index> shape_of(Convolution const& c) {
    Array const &x = c.x, &weight = c.weight, &y = c.y;
    ConvShape<Index> s{};
    s.n = Index(x.shape[0]), s.h = Index(x.shape[2]), s.w = Index(x.shape[3]);
    s.p = Index(y.shape[2]), s.q = Index(y.shape[3]), s.r = Index(weight.shape[2]), s.s = Index(weight.shape[3]);
    s.groups = Index(c.groups), s.c = Index(weight.shape[1]), s.k = Index(weight.shape[0] / c.groups);
    s.stride_h = Index(c.stride[0]), s.stride_w = Index(c.stride[1]);
    s.pad_h = Index(c.padding[0]), s.pad_w = Index(c.padding[1]);
    s.dilation_h = Index(c.dilation[0]), s.dilation_w = Index(c.dilation[1]);
    s.x = x.as<float>(), s.weight = weight.as<float>(), s.dy = y.as<float>();
    s.x_strides = strides(x), s.weight_strides = strides(weight), s.y_strides = strides(y);
    return s;
}

inline void check(char const* op, Convolution const& c) {
    require_dtype(op, "x", c.x, DType::kFloat32);
    require_dtype(op, "weight", c.weight, DType::kFloat32);
    require_dtype(op, "dy", c.y, DType::kFloat32);
    require_shape(op, "x", c.x, {c.y.shape[0], c.weight.shape[1] * c.groups, c.x.shape[2], c.x.shape[3]});
    require_shape(op, "dy", c.y, {c.x.shape[0], c.weight.shape[0], c.y.shape[2], c.y.shape[3]});
    require(c.groups > 0 && c.weight.shape[0] % c.groups == 0, op, ": argument 'groups': expected a divisor of ",
            c.weight, ", got ", c.groups);
}

// Calls run(Index{}) with the narrowest integer that can count the pixels, taps and coordinates of this convolution.
template <class Run> void with_index(Convolution const& c, Run run) {
    Array const &x = c.x, &weight = c.weight, &y = c.y;
    int64_t const reach = std::max({c.stride[0], c.stride[1], c.dilation[0], c.dilation[1]});
    int64_t const pixels = std::max(x.shape[0] * x.shape[2] * x.shape[3], y.shape[0] * y.shape[2] * y.shape[3]);
    int64_t const taps = weight.shape[2] * weight.shape[3] * std::max(weight.shape[0], weight.shape[1]);
    int64_t const side = std::max({y.shape[2], y.shape[3], weight.shape[2], weight.shape[3]});
    if (std::max({pixels, taps, side * reach}) < kMostIndex32)
        run(int32_t{});
    else
        run(int64_t{});
}

// A direction: its op, whether its sums may be split, and the product that its kernels compute.
struct Forward {
    static constexpr char const* kOp = "conv_forward";
    static constexpr bool kSplits = false;
    template <class Index> static ConvForward<Index> product(Convolution const& c, int64_t) {
        ConvForward p(shape_of<Index>(c));
        p.y = c.y.as<float>(), p.activation = c.activation;
        p.bias = pointer(c.bias), p.bias_stride = c.bias ? c.bias->strides[0] : 0;
        return p;
    }
};
struct InputGradient {
    static constexpr char const* kOp = "conv_input_gradient";
    static constexpr bool kSplits = false;
    template <class Index> static ConvInputGradient<Index> product(Convolution const& c, int64_t) {
        ConvInputGradient p(shape_of<Index>(c));
        p.dx = c.x.as<float>();
        return p;
    }
};
struct WeightGradient {
    static constexpr char const* kOp = "conv_weight_gradient";
    static constexpr bool kSplits = true;
    template <class Index> static ConvWeightGradient<Index> product(Convolution const& c, int64_t splits) {
        ConvWeightGradient p(shape_of<Index>(c), splits);
        p.dweight = c.dweight;
        return p;
    }
};

template <class Direction> struct StartConvSimt;

template <class Direction> struct ConvProblem : ProductSizes {
    Convolution conv;

    explicit ConvProblem(Convolution const& c) : ProductSizes{}, conv(c) {
        auto const p = Direction::template product<int64_t>(c, 1);
        batches = p.batches, m = p.m, n = p.n, k = p.k;
    }

    static constexpr char const* kFamily = Direction::kOp;
    static constexpr bool kSplits = Direction::kSplits;
    static std::span<Variant<ConvProblem> const> table() {
        return kSimtVariants<ConvProblem, StartConvSimt<Direction>>;
    }
    std::span<Variant<ConvProblem> const> variants() const { return table(); }
    // Its taps, and which dimension of the images is dense.
    std::string key() const {
        bool const last = conv.x.strides[1] == 1 && conv.x.shape[1] > 1;
        return std::to_string(conv.weight.shape[2]) + "x" + std::to_string(conv.weight.shape[3]) +
               (last ? " channels_last" : " channels_first");
    }
    std::string operands() const { return to_string(conv.x) + " and " + to_string(conv.weight); }
    std::optional<ConvProblem> stricter() const { return {}; }
    int64_t workspace_bytes(Choice<ConvProblem> const& c, DeviceSpec const&) const {
        return c.division.splits > 1 ? c.division.splits * conv.weight.size() * int64_t(sizeof(float)) : 0;
    }
    static ConvProblem asked(Question const& q) {
        require(q.operands.size() == 3, kFamily, ": argument 'operands': expected x, weight and y");
        Array const x = as_image(kFamily, q.operands[0]), weight = as_image(kFamily, q.operands[1]);
        Convolution c{.x = x, .weight = weight, .y = as_image(kFamily, q.operands[2])};
        c.groups = x.shape[1] / std::max<int64_t>(weight.shape[1], 1);
        check(kFamily, c);
        return ConvProblem(c);
    }
};

}  // namespace pylayers
