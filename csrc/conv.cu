// Host side of convolution over one or two spatial dimensions: the three directions as matrix products.
#include "kernels/conv_simt.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/conv.cuh"

namespace pylayers {

template <class Direction> struct StartConvSimt {
    template <SimtTile T> static void run(ConvProblem<Direction> const& p, Division const& by, Stream stream) {
        with_index(p.conv, [&](auto index) {
            auto product = Direction::template product<decltype(index)>(p.conv, by.splits);
            launch<GemmSimt<T, decltype(product)>>(by.blocks, {product}, stream);
        });
    }
};

namespace {

template <class Direction> void run(Convolution const& c, Caller const& caller) {
    ConvProblem<Direction> p(c);
    auto const [variant, division] = choose(p, device_spec(caller.stream.device), caller.variant);
    int64_t const splits = division.splits, size = c.weight.size();
    if (splits > 1) p.conv.dweight = caller.workspace<float>(splits * size);
    if (division.blocks > 0) variant->run(p, division, caller.stream);
    if (splits > 1) add_splits(p.conv.dweight, splits, c.dweight, size, caller.stream);
}

}  // namespace

Family const kConvForwardFamily = kFamilyOf<ConvProblem<Forward>>;
Family const kConvInputGradientFamily = kFamilyOf<ConvProblem<InputGradient>>;
Family const kConvWeightGradientFamily = kFamilyOf<ConvProblem<WeightGradient>>;

NewArray conv_forward(Array const& x, Array const& weight, OptionalArray const& bias, Sizes const& stride,
                      Pads const& padding, Sizes const& dilation, int64_t groups, Activation activation,
                      Caller const& caller) {
    char const* const op = Forward::kOp;
    Convolution c{.x = as_image(op, x), .weight = as_image(op, weight), .groups = groups};
    c.set_window(stride, padding, dilation);
    require_row(op, "bias", bias, weight.shape[0]);
    c.bias = bias, c.activation = activation;
    Extents shape = x.shape;
    shape[1] = weight.shape[0];
    for (int i = 2; i < x.rank; ++i) {
        auto const [before, after] = padding[i - 2];
        int64_t const reach = dilation[i - 2] * (weight.shape[i] - 1) + 1;
        shape[i] = (shape[i] + before + after - reach) / stride[i - 2] + 1;
    }
    NewArray const y = caller.like(x, DType::kFloat32, shape);
    c.y = as_image(op, y);
    check(op, c);
    run<Forward>(c, caller);
    return y;
}

NewArray conv_input_gradient(Array const& dy, Array const& weight, Sizes const& x_shape, Sizes const& stride,
                             Pads const& padding, Sizes const& dilation, int64_t groups, Caller const& caller) {
    char const* const op = InputGradient::kOp;
    Convolution c{.weight = as_image(op, weight), .y = as_image(op, dy), .groups = groups};
    c.set_window(stride, padding, dilation);
    NewArray const dx = caller.like(dy, DType::kFloat32, extents(op, x_shape, dy.rank));
    c.x = as_image(op, dx);
    check(op, c);
    run<InputGradient>(c, caller);
    return dx;
}

NewArray conv_weight_gradient(Array const& dy, Array const& x, Sizes const& weight_shape, Sizes const& stride,
                              Pads const& padding, Sizes const& dilation, int64_t groups, Caller const& caller) {
    char const* const op = WeightGradient::kOp;
    Convolution c{.x = as_image(op, x), .y = as_image(op, dy), .groups = groups};
    c.set_window(stride, padding, dilation);
    NewArray const dweight =
        caller.empty({.dtype = DType::kFloat32, .rank = x.rank, .shape = extents(op, weight_shape, x.rank)});
    c.weight = as_image(op, dweight);
    c.dweight = dweight.as<float>();
    check(op, c);
    run<WeightGradient>(c, caller);
    return dweight;
}

}  // namespace pylayers
