// A view of somebody's array {dtype, shape, strides, pointer} and the ways to refuse one.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/core/dtype.hpp"

namespace pylayers {

constexpr int kMaxRank = 8;
constexpr int kHost = -1;
using Extents = std::array<int64_t, kMaxRank>;

struct Array {
    DType dtype = DType::kFloat32;
    int rank = 0;
    Extents shape{};
    Extents strides{};  // in elements
    void* data = nullptr;
    int device = kHost;  // the number of the GPU whose memory it is

    int64_t size() const {
        int64_t n = 1;
        for (int i = 0; i < rank; ++i) n *= shape[i];
        return n;
    }
    template <class T> T* as() const { return static_cast<T*>(data); }
};

// An argument this kernel cannot serve, though it means something: NotImplementedError in Python.
struct NotImplemented : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// An argument of a type that has no meaning here: TypeError in Python.
struct WrongType : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::string to_string(Array const& x) {
    std::string s = "(";
    for (int i = 0; i < x.rank; ++i) s += (i ? ", " : "") + std::to_string(x.shape[i]);
    return s + (x.rank == 1 ? ",) " : ") ") + std::string(info(x.dtype).name);
}

inline std::string to_string(std::string_view text) { return std::string(text); }
inline std::string to_string(int64_t number) { return std::to_string(number); }

// Every precondition of every op: ValueError in Python. The message is put together only where it is needed.
template <class... Parts> void require(bool condition, Parts const&... parts) {
    if (!condition) throw std::invalid_argument((to_string(parts) + ...));
}

inline void require_dtype(char const* op, char const* name, Array const& x, DType dtype) {
    if (x.dtype != dtype)
        throw NotImplemented(std::string(op) + ": argument '" + name + "': expected " + std::string(info(dtype).name) +
                             ", got " + to_string(x) + "; the kernels of this backend take no other dtype yet");
}

// Shapes are checked once more here, cheaply, since a wrong one would read foreign memory.
inline void require_shape(char const* op, char const* name, Array const& x, std::initializer_list<int64_t> shape) {
    bool equal = x.rank == int(shape.size());
    for (int i = 0; equal && i < x.rank; ++i) equal = x.shape[i] == shape.begin()[i];
    if (equal) return;
    Array want;
    for (int64_t n : shape) want.shape[want.rank++] = n;
    want.dtype = x.dtype;
    throw std::invalid_argument(std::string(op) + ": argument '" + name + "': expected " + to_string(want) + ", got " +
                                to_string(x));
}

using OptionalArray = std::optional<Array>;

// A vector of float32, or nothing.
inline void require_row(char const* op, char const* name, OptionalArray const& x, int64_t n) {
    if (!x) return;
    require_dtype(op, name, *x, DType::kFloat32);
    require_shape(op, name, *x, {n});
}
inline float* pointer(OptionalArray const& x) { return x ? x->as<float>() : nullptr; }

// The axes of x from the slowest in memory to the fastest, by the rule of `memory_order` in pylayers/arrays.py.
inline std::array<int, kMaxRank> memory_order(Array const& x) {
    std::array<int, kMaxRank> axes{};
    auto const begin = axes.begin(), end = begin + x.rank;
    std::iota(begin, end, 0);
    auto const stride = [&](int axis) { return std::abs(x.strides[axis]); };
    std::stable_sort(begin, end, [&](int a, int b) {
        return stride(a) != stride(b) ? stride(a) > stride(b) : x.shape[a] != 1 && x.shape[b] == 1;
    });
    int last = -1;  // of the axes with several elements or none
    int64_t fastest = 0;
    for (int axis : std::span(begin, end)) {
        if (x.shape[axis] == 1) continue;
        if (axis < last) return axes;
        last = axis, fastest = stride(axis);
    }
    // The others have one element, whose stride means nothing, except the one that says channels last: the smallest.
    std::iota(begin, end, 0);
    std::stable_partition(begin, end,
                          [&](int axis) { return axis >= last || x.shape[axis] != 1 || stride(axis) > fastest; });
    return axes;
}

}  // namespace pylayers
