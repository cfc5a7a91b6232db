// Host side of max pooling over one or two spatial dimensions.
#include "kernels/pool.cuh"

#include <cstdlib>

#include "csrc/dispatch.hpp"
#include "csrc/image.hpp"
#include "csrc/launch.cuh"

namespace pylayers {
namespace {

PlaneStrides strides(Array const& x) { return {x.strides[0], x.strides[1], x.strides[2], x.strides[3]}; }

bool channels_last(Array const& x) { return x.shape[1] > 1 && std::abs(x.strides[1]) < std::abs(x.strides[3]); }

// How a pooling window moves: one number for each spatial dimension.
struct PoolGeometry {
    Sizes const &kernel, &stride, &padding, &dilation;
};

PoolShape shape_of(Array const& x, Array const& y, PoolGeometry const& g) {
    return {x.shape[0],
            x.shape[1],
            x.shape[2],
            x.shape[3],
            y.shape[2],
            y.shape[3],
            along(g.kernel, 0, 1),
            along(g.kernel, 1, 1),
            along(g.stride, 0, 1),
            along(g.stride, 1, 1),
            along(g.padding, 0, 0),
            along(g.padding, 1, 0),
            along(g.dilation, 0, 1),
            along(g.dilation, 1, 1)};
}

template <class Kernel> void run(int64_t size, typename Kernel::Params const& p, Stream stream) {
    launch<Kernel>(striding_blocks(divide_up(size, Kernel::kThreads), stream), p, stream);
}

}  // namespace

Two max_pool_forward(Array const& x, Sizes const& kernel, Sizes const& stride, Sizes const& padding,
                     Sizes const& dilation, Sizes const& out, Caller const& caller) {
    char const* const op = "max_pool_forward";
    return with_float(op, "x", x, [&]<class T>() -> Two {
        Array const from = as_image(op, x);
        Extents shape = x.shape;
        std::copy(out.begin(), out.begin() + x.rank - 2, shape.begin() + 2);
        NewArray const y = caller.like(x, x.dtype, shape), indices = caller.like(y, DType::kInt64, shape);
        Array const to = as_image(op, y), places = as_image(op, indices);
        run<MaxPoolForward<T>>(
            to.size(),
            {shape_of(from, to, {kernel, stride, padding, dilation}), channels_last(to), from.as<T>(), to.as<T>(),
             places.as<int64_t>(), strides(from), strides(to), strides(places)},
            caller.stream);
        return {y, indices};
    });
}

NewArray max_pool_backward(Array const& dy, Array const& indices, Sizes const& x_shape, Sizes const& kernel,
                           Sizes const& stride, Sizes const& padding, Sizes const& dilation, Caller const& caller) {
    char const* const op = "max_pool_backward";
    return with_float(op, "dy", dy, [&]<class T>() {
        Array const from = as_image(op, dy), places = as_image(op, indices);
        require_dtype(op, "indices", indices, DType::kInt64);
        require_shape(op, "indices", places, {from.shape[0], from.shape[1], from.shape[2], from.shape[3]});
        NewArray const dx = caller.like(dy, dy.dtype, extents(op, x_shape, dy.rank));
        Array const to = as_image(op, dx);
        run<MaxPoolBackward<T>>(
            to.size(),
            {shape_of(to, from, {kernel, stride, padding, dilation}), channels_last(to), from.as<T>(),
             places.as<int64_t>(), to.as<T>(), strides(from), strides(places), strides(to)},
            caller.stream);
        return dx;
    });
}

}  // namespace pylayers
