// Convolution and pooling of images (N, C, *S); what a window does has one number for each spatial dimension.
#pragma once
#include "csrc/ops/caller.hpp"

namespace pylayers {

NewArray conv_forward(Array const& x, Array const& weight, OptionalArray const& bias, Sizes const& stride,
                      Pads const& padding, Sizes const& dilation, int64_t groups, Activation activation,
                      Caller const& caller);
NewArray conv_input_gradient(Array const& dy, Array const& weight, Sizes const& x_shape, Sizes const& stride,
                             Pads const& padding, Sizes const& dilation, int64_t groups, Caller const& caller);
NewArray conv_weight_gradient(Array const& dy, Array const& x, Sizes const& weight_shape, Sizes const& stride,
                              Pads const& padding, Sizes const& dilation, int64_t groups, Caller const& caller);

Two max_pool_forward(Array const& x, Sizes const& kernel, Sizes const& stride, Sizes const& padding,
                     Sizes const& dilation, Sizes const& out, Caller const& caller);
NewArray max_pool_backward(Array const& dy, Array const& indices, Sizes const& x_shape, Sizes const& kernel,
                           Sizes const& stride, Sizes const& padding, Sizes const& dilation, Caller const& caller);

inline constexpr auto kImageOps = std::tuple{
    Op{"conv_forward", &conv_forward},
    Op{"conv_input_gradient", &conv_input_gradient},
    Op{"conv_weight_gradient", &conv_weight_gradient},
    Op{"max_pool_forward", &max_pool_forward},
    Op{"max_pool_backward", &max_pool_backward},
};

}  // namespace pylayers
