// Host side of max pooling over one or two spatial dimensions.
#include "kernels/pool.cuh"

#include <cstdlib>

#include "csrc/launch.cuh"
#include "csrc/ops.hpp"

namespace pylayers {
namespace {

PlaneStrides strides(Array const& x) { return {x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

bool channels_last(Array const& x) { return x.shape[1] > 1 && std::abs(x.strides[1]) < std::abs(x.strides[3]); }

PoolShape shape_of(Array const& x, Array const& y, PoolGeometry const& g) {
    auto at = [](Sizes const& v, int axis, int64_t line) { return v.size() == 2 ? v[axis] : axis == 1 ? v[0] : line; };
    return {x.shape[0],          x.shape[1],          x.shape[2],           x.shape[3],          y.shape[2],
            y.shape[3],          at(g.kernel, 0, 1),  at(g.kernel, 1, 1),   at(g.stride, 0, 1),  at(g.stride, 1, 1),
            at(g.padding, 0, 0), at(g.padding, 1, 0), at(g.dilation, 0, 1), at(g.dilation, 1, 1)};
}

template <class Kernel> void run(int64_t size, typename Kernel::Params const& p, Stream stream) {
    launch<Kernel>(striding_blocks(divide_up(size, Kernel::kThreads), stream), p, stream);
}

void check(char const* op, Array const& x, Array const& y, Array const& indices) {
    require_dtype(op, "x", x, DType::kFloat32);
    require_dtype(op, "y", y, DType::kFloat32);
    require_dtype(op, "indices", indices, DType::kInt64);
    require_shape(op, "y", y, {x.shape[0], x.shape[1], y.shape[2], y.shape[3]});
    require_shape(op, "indices", indices, {x.shape[0], x.shape[1], y.shape[2], y.shape[3]});
}

}  // namespace

void max_pool_forward(Array x, Array y, Array indices, PoolGeometry geometry, Stream stream) {
    char const* const op = "max_pool_forward";
    x = as_image(op, x), y = as_image(op, y), indices = as_image(op, indices);
    check(op, x, y, indices);
    run<MaxPoolForward>(y.size(),
                        {shape_of(x, y, geometry), channels_last(y), x.as<float>(), y.as<float>(),
                         indices.as<int64_t>(), strides(x), strides(y), strides(indices)},
                        stream);
}

void max_pool_backward(Array dy, Array indices, Array dx, PoolGeometry geometry, Stream stream) {
    char const* const op = "max_pool_backward";
    dy = as_image(op, dy), indices = as_image(op, indices), dx = as_image(op, dx);
    check(op, dx, dy, indices);
    run<MaxPoolBackward>(dx.size(),
                         {shape_of(dx, dy, geometry), channels_last(dx), dy.as<float>(), indices.as<int64_t>(),
                          dx.as<float>(), strides(dy), strides(indices), strides(dx)},
                         stream);
}

}  // namespace pylayers
