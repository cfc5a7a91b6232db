// Host side of convolution over one or two spatial dimensions: the three directions as matrix products.
#include "kernels/conv_simt.cuh"

#include <algorithm>

#include "csrc/ops.hpp"
#include "csrc/simt.cuh"

namespace pylayers {
namespace {

constexpr int64_t kPixelsPerSplit = 512;  // a split of the weight gradient runs 16 steps of the deepest tile at least
constexpr int64_t kMostIndex32 = int64_t(1) << 30;  // leaves room for stride, tap and padding to be added

Strides4 strides(Array const& x) { return {x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

template <class Index>
ConvShape<Index> shape_of(Array const& x, Array const& weight, Array const& y, ConvGeometry const& g) {
    auto at = [&](Sizes const& v, int axis, int64_t line) {
        return Index(v.size() == 2 ? v[axis] : axis == 1 ? v[0] : line);
    };
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

void conv_forward(Array x, Array weight, OptionalArray bias, Array y, ConvGeometry geometry, Activation activation,
                  std::string const& variant, Stream stream) {
    x = as_image("conv_forward", x), weight = as_image("conv_forward", weight), y = as_image("conv_forward", y);
    check("conv_forward", x, weight, y, geometry);
    require_row("conv_forward", "bias", bias, weight.shape[0]);
    with_index(x, weight, y, geometry, [&](auto index) {
        ConvForward problem(shape_of<decltype(index)>(x, weight, y, geometry));
        problem.y = y.as<float>(), problem.bias = pointer(bias), problem.bias_stride = stride(bias);
        problem.activation = activation;
        choose_simt("conv_forward", problem, device_spec(stream.device), variant).run(problem, stream);
    });
}

void conv_input_gradient(Array dy, Array weight, Array dx, ConvGeometry geometry, std::string const& variant,
                         Stream stream) {
    dy = as_image("conv_input_gradient", dy), weight = as_image("conv_input_gradient", weight),
    dx = as_image("conv_input_gradient", dx);
    check("conv_input_gradient", dx, weight, dy, geometry);
    with_index(dx, weight, dy, geometry, [&](auto index) {
        ConvInputGradient problem(shape_of<decltype(index)>(dx, weight, dy, geometry));
        problem.dx = dx.as<float>();
        choose_simt("conv_input_gradient", problem, device_spec(stream.device), variant).run(problem, stream);
    });
}

Plan plan_conv_weight_gradient(Sizes const& weight_shape, int64_t pixels, DeviceSpec spec) {
    int64_t const splits = count_splits(weight_shape, pixels, spec);
    int64_t bytes = splits * int64_t(sizeof(float));
    for (int64_t n : weight_shape) bytes *= n;
    return {"split_" + std::to_string(splits), splits, splits > 1 ? bytes : 0, 64};
}

void conv_weight_gradient(Array dy, Array x, Array dweight, OptionalArray workspace, ConvGeometry geometry,
                          std::string const& variant, Stream stream) {
    Sizes const weight_shape(dweight.shape.begin(), dweight.shape.begin() + dweight.rank);
    dy = as_image("conv_weight_gradient", dy), x = as_image("conv_weight_gradient", x),
    dweight = as_image("conv_weight_gradient", dweight);
    check("conv_weight_gradient", x, dweight, dy, geometry);
    int64_t const pixels = dy.shape[0] * dy.shape[2] * dy.shape[3];
    int64_t const splits = count_splits(weight_shape, pixels, device_spec(stream.device));
    require(splits == 1 || workspace,
            "conv_weight_gradient: argument 'workspace': expected what the plan asks for, got None");
    with_index(x, dweight, dy, geometry, [&](auto index) {
        ConvWeightGradient problem(shape_of<decltype(index)>(x, dweight, dy, geometry), splits);
        problem.dweight = splits > 1 ? workspace->as<float>() : dweight.as<float>();
        choose_simt("conv_weight_gradient", problem, device_spec(stream.device), variant).run(problem, stream);
    });
    if (splits > 1) add_splits(workspace->as<float>(), splits, dweight.as<float>(), dweight.size(), stream);
}

}  // namespace pylayers
