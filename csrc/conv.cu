// Host side of convolution over one or two spatial dimensions: the three directions as matrix products.
#include "kernels/conv_simt.cuh"

#include <algorithm>

#include "csrc/column_sum.cuh"
#include "csrc/image.hpp"
#include "csrc/simt.cuh"

namespace pylayers {
namespace {

// How a window moves: one number for each spatial dimension.
struct ConvGeometry {
    Sizes const& stride;
    Sizes padding;  // before the first pixel
    Sizes const& dilation;
    int64_t groups;
};

ConvGeometry geometry_of(Sizes const& stride, Pads const& padding, Sizes const& dilation, int64_t groups) {
    Sizes before;
    for (auto const& [first, last] : padding) before.push_back(first);
    return {stride, before, dilation, groups};
}

constexpr int64_t kPixelsPerSplit = 512;  // a split of the weight gradient runs 16 steps of the deepest tile at least
constexpr int64_t kMostIndex32 = int64_t(1) << 30;  // leaves room for stride, tap and padding to be added

Strides4 strides(Array const& x) { return {x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

template <class Index>
ConvShape<Index> shape_of(Array const& x, Array const& weight, Array const& y, ConvGeometry const& g) {
    auto at = [](Sizes const& v, int axis, int64_t line) { return Index(along(v, axis, line)); };
    ConvShape<Index> s{};
    s.n = Index(x.shape[0]), s.h = Index(x.shape[2]), s.w = Index(x.shape[3]);
    s.p = Index(y.shape[2]), s.q = Index(y.shape[3]), s.r = Index(weight.shape[2]), s.s = Index(weight.shape[3]);
    s.groups = Index(g.groups), s.c = Index(weight.shape[1]), s.k = Index(weight.shape[0] / g.groups);
    s.stride_h = at(g.stride, 0, 1), s.stride_w = at(g.stride, 1, 1);
    s.pad_h = at(g.padding, 0, 0), s.pad_w = at(g.padding, 1, 0);
    s.dilation_h = at(g.dilation, 0, 1), s.dilation_w = at(g.dilation, 1, 1);
    s.x = x.as<float>(), s.weight = weight.as<float>(), s.dy = y.as<float>();
    s.x_strides = strides(x), s.weight_strides = strides(weight), s.y_strides = strides(y);
    return s;
}

void check(char const* op, Array const& x, Array const& weight, Array const& y, ConvGeometry const& g) {
    require_dtype(op, "x", x, DType::kFloat32);
    require_dtype(op, "weight", weight, DType::kFloat32);
    require_dtype(op, "dy", y, DType::kFloat32);
    require_shape(op, "x", x, {y.shape[0], weight.shape[1] * g.groups, x.shape[2], x.shape[3]});
    require_shape(op, "dy", y, {x.shape[0], weight.shape[0], y.shape[2], y.shape[3]});
    require(weight.rank == 4 && weight.shape[0] % g.groups == 0,
            std::string(op) + ": argument 'groups': expected a divisor of " + to_string(weight) + ", got " +
                std::to_string(g.groups));
}

// Calls run(Index{}) with the narrowest integer that can count the pixels, taps and coordinates of this convolution.
template <class Run>
void with_index(Array const& x, Array const& weight, Array const& y, ConvGeometry const& g, Run run) {
    int64_t reach = 0;
    for (int64_t v : g.stride) reach = std::max(reach, v);
    for (int64_t v : g.dilation) reach = std::max(reach, v);
    int64_t const pixels = std::max(x.shape[0] * x.shape[2] * x.shape[3], y.shape[0] * y.shape[2] * y.shape[3]);
    int64_t const taps = weight.shape[2] * weight.shape[3] * std::max(weight.shape[0], weight.shape[1]);
    int64_t const side = std::max({y.shape[2], y.shape[3], weight.shape[2], weight.shape[3]});
    if (std::max({pixels, taps, side * reach}) < kMostIndex32)
        run(int32_t{});
    else
        run(int64_t{});
}

// Enough splits to give every SM a few tiles, none shorter than kPixelsPerSplit.
int64_t count_splits(Sizes const& weight_shape, int64_t pixels, DeviceSpec spec) {
    int64_t taps = 1;
    for (size_t i = 1; i < weight_shape.size(); ++i) taps *= weight_shape[i];
    int64_t const tiles = std::max<int64_t>(1, divide_up(weight_shape[0], 32) * divide_up(taps, 32));
    return std::clamp<int64_t>(std::min(divide_up(2 * spec.sms, tiles), divide_up(pixels, kPixelsPerSplit)), 1, 256);
}

}  // namespace

NewArray conv_forward(Array const& given_x, Array const& given_weight, OptionalArray const& bias, Sizes const& stride,
                      Pads const& padding, Sizes const& dilation, int64_t groups, Activation activation,
                      Caller const& caller) {
    char const* const op = "conv_forward";
    Array const x = as_image(op, given_x), weight = as_image(op, given_weight);
    ConvGeometry const geometry = geometry_of(stride, padding, dilation, groups);
    require_row(op, "bias", bias, weight.shape[0]);
    Extents shape = given_x.shape;
    shape[1] = weight.shape[0];
    for (int i = 2; i < given_x.rank; ++i) {
        auto const [before, after] = padding[i - 2];
        int64_t const reach = dilation[i - 2] * (given_weight.shape[i] - 1) + 1;
        shape[i] = (shape[i] + before + after - reach) / stride[i - 2] + 1;
    }
    NewArray const new_y = caller.like(given_x, DType::kFloat32, shape);
    Array const y = as_image(op, new_y);
    check(op, x, weight, y, geometry);
    with_index(x, weight, y, geometry, [&](auto index) {
        ConvForward problem(shape_of<decltype(index)>(x, weight, y, geometry));
        problem.y = y.as<float>(), problem.bias = pointer(bias), problem.bias_stride = bias ? bias->strides[0] : 0;
        problem.activation = activation;
        choose_simt(op, problem, caller).run(problem, caller.stream);
    });
    return new_y;
}

NewArray conv_input_gradient(Array const& given_dy, Array const& given_weight, Sizes const& x_shape,
                             Sizes const& stride, Pads const& padding, Sizes const& dilation, int64_t groups,
                             Caller const& caller) {
    char const* const op = "conv_input_gradient";
    Array const dy = as_image(op, given_dy), weight = as_image(op, given_weight);
    ConvGeometry const geometry = geometry_of(stride, padding, dilation, groups);
    NewArray const new_dx = caller.like(given_dy, DType::kFloat32, extents(op, x_shape, given_dy.rank));
    Array const dx = as_image(op, new_dx);
    check(op, dx, weight, dy, geometry);
    with_index(dx, weight, dy, geometry, [&](auto index) {
        ConvInputGradient problem(shape_of<decltype(index)>(dx, weight, dy, geometry));
        problem.dx = dx.as<float>();
        choose_simt(op, problem, caller).run(problem, caller.stream);
    });
    return new_dx;
}

NewArray conv_weight_gradient(Array const& given_dy, Array const& given_x, Sizes const& weight_shape,
                              Sizes const& stride, Pads const& padding, Sizes const& dilation, int64_t groups,
                              Caller const& caller) {
    char const* const op = "conv_weight_gradient";
    Array const dy = as_image(op, given_dy), x = as_image(op, given_x);
    ConvGeometry const geometry = geometry_of(stride, padding, dilation, groups);
    Array like{.dtype = DType::kFloat32, .rank = given_x.rank, .shape = extents(op, weight_shape, given_x.rank)};
    NewArray const new_dweight = caller.empty(like);
    Array const dweight = as_image(op, new_dweight);
    check(op, x, dweight, dy, geometry);
    int64_t const pixels = dy.shape[0] * dy.shape[2] * dy.shape[3], size = dweight.size();
    int64_t const splits = count_splits(weight_shape, pixels, device_spec(caller.stream.device));
    float* const partial = splits > 1 ? caller.workspace<float>(splits * size) : nullptr;
    with_index(x, dweight, dy, geometry, [&](auto index) {
        ConvWeightGradient problem(shape_of<decltype(index)>(x, dweight, dy, geometry), splits);
        problem.dweight = splits > 1 ? partial : dweight.as<float>();
        choose_simt(op, problem, caller).run(problem, caller.stream);
    });
    if (splits > 1) add_splits(partial, splits, dweight.as<float>(), size, caller.stream);
    return new_dweight;
}

}  // namespace pylayers
