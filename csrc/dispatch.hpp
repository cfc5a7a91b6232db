// From an array's dtype to the C++ type of its elements: the one place where a launcher's kernels are chosen by dtype.
#pragma once
#include <cstddef>

#include "csrc/array.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers {

template <class T> constexpr std::nullptr_t kDTypeOf = nullptr;  // no array holds such elements
template <> inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <> inline constexpr DType kDTypeOf<ptx::tf32> = DType::kFloat32;
template <> inline constexpr DType kDTypeOf<ptx::bf16> = DType::kBfloat16;
template <> inline constexpr DType kDTypeOf<ptx::fp16> = DType::kFloat16;
template <> inline constexpr DType kDTypeOf<ptx::e4m3> = DType::kFloat8E4m3;
template <> inline constexpr DType kDTypeOf<ptx::e5m2> = DType::kFloat8E5m2;
template <> inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <> inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <> inline constexpr DType kDTypeOf<int8_t> = DType::kInt8;
template <> inline constexpr DType kDTypeOf<uint8_t> = DType::kUint8;
template <> inline constexpr DType kDTypeOf<bool> = DType::kBool;

// Refuses an array whose elements are none of Ts.
template <class... Ts> void require_element(char const* op, char const* name, Array const& x) {
    if (((x.dtype == kDTypeOf<Ts>) || ...)) return;
    constexpr std::string_view kNames[] = {info(kDTypeOf<Ts>).name...};
    std::string expected(kNames[0]);
    for (size_t i = 1; i < sizeof...(Ts); ++i)
        expected += std::string(i + 1 < sizeof...(Ts) ? ", " : " or ") + std::string(kNames[i]);
    throw NotImplemented(std::string(op) + ": argument '" + name + "': expected " + expected + ", got " + to_string(x) +
                         "; the kernels of this backend take no other dtype yet");
}

namespace dispatch_detail {

template <class T, class... Others, class F> decltype(auto) call(DType dtype, F& f) {
    if constexpr (sizeof...(Others) > 0)
        if (dtype != kDTypeOf<T>) return call<Others...>(dtype, f);
    return f.template operator()<T>();
}

}  // namespace dispatch_detail

// f<T>() for the T of Ts that x is made of: with_element<float, bf16>(op, "x", x, [&]<class T>() { ... }).
template <class... Ts, class F> decltype(auto) with_element(char const* op, char const* name, Array const& x, F&& f) {
    require_element<Ts...>(op, name, x);
    return dispatch_detail::call<Ts...>(x.dtype, f);
}

// The same for the dtypes that layers compute in.
template <class F> decltype(auto) with_float(char const* op, char const* name, Array const& x, F&& f) {
    return with_element<float, ptx::bf16, ptx::fp16>(op, name, x, f);
}

}  // namespace pylayers
