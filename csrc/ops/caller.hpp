// What every op of the kernels is told beside its arguments, and a row of the list of ops.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "csrc/array.hpp"
#include "csrc/runtime.hpp"
#include "kernels/core/enums.hpp"

namespace pylayers {

// The grid of a kernel whose blocks stride over their work: no more than a few waves of the device.
inline int64_t striding_blocks(int64_t wanted, Stream stream) {
    return std::min<int64_t>(wanted, 16 * device_spec(stream.device).sms);
}

using Arrays = std::vector<Array>;
using OptionalArrays = std::vector<OptionalArray>;
using Sizes = std::vector<int64_t>;
using Pads = std::vector<std::pair<int64_t, int64_t>>;  // (before, after) of each spatial dimension

// An array in memory of the caller's library. It stays until the op returns, and longer as the op's result.
struct NewArray : Array {
    void* object;
};
using Two = std::tuple<NewArray, NewArray>;
using Three = std::tuple<NewArray, NewArray, NewArray>;

// Who calls an op: where new arrays come from, the stream to launch on, and the row of the family's table to take.
struct Caller {
    NewArray (*allocate)(void* self, Array const& like, int const* order);
    void* self;
    Stream stream;
    std::string variant;  // empty: the plan's own choice

    // Of this dtype and shape, in C order.
    NewArray empty(Array like) const {
        int64_t step = 1;
        for (int i = like.rank; i-- > 0; step *= like.shape[i]) like.strides[i] = step;
        return allocate(self, like, nullptr);
    }
    NewArray empty(DType dtype, std::initializer_list<int64_t> shape) const {
        Array like{.dtype = dtype, .rank = int(shape.size())};
        std::copy(shape.begin(), shape.end(), like.shape.begin());
        return empty(like);
    }
    // Of this dtype and shape, dense in the memory order of x, which has the same rank.
    NewArray like(Array const& x, DType dtype, Extents const& shape) const {
        std::array<int, kMaxRank> const order = memory_order(x);
        Array y{.dtype = dtype, .rank = x.rank, .shape = shape};
        int64_t step = 1;
        for (int i = x.rank; i-- > 0; step *= y.shape[order[i]]) y.strides[order[i]] = step;
        return allocate(self, y, order.data());
    }
    NewArray like(Array const& x) const { return like(x, x.dtype, x.shape); }
    // Memory for this launch, if it needs any; nothing is assumed of its content.
    template <class T = std::byte> T* workspace(int64_t count) const {
        return count ? empty(DType::kUint8, {count * int64_t(sizeof(T))}).as<T>() : nullptr;
    }
};

// A row of the list of ops: the name that Python calls it by, and its launcher.
template <class Launcher> struct Op {
    char const* name;
    Launcher* launch;
};
template <class Launcher> Op(char const*, Launcher*) -> Op<Launcher>;

}  // namespace pylayers
