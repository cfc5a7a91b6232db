// The dtypes of arrays, named alike by kernels, launchers and Python.
#pragma once
#include <string_view>

namespace pylayers {

enum class DType {
    kFloat32,
    kBfloat16,
    kFloat16,
    kInt32,
    kFloat64,
    kFloat8E4m3,
    kFloat8E5m2,
    kInt64,
    kInt8,
    kUint8,
    kBool
};

struct DTypeInfo {
    DType dtype;
    std::string_view name;  // NumPy's
    int bytes;
};

constexpr DTypeInfo kDTypes[] = {
    {DType::kFloat32, "float32", 4},
    {DType::kBfloat16, "bfloat16", 2},
    {DType::kFloat16, "float16", 2},
    {DType::kInt32, "int32", 4},
    {DType::kFloat64, "float64", 8},
    {DType::kFloat8E4m3, "float8_e4m3fn", 1},
    {DType::kFloat8E5m2, "float8_e5m2", 1},
    {DType::kInt64, "int64", 8},
    {DType::kInt8, "int8", 1},
    {DType::kUint8, "uint8", 1},
    {DType::kBool, "bool", 1},
};

constexpr DTypeInfo const& info(DType dtype) { return kDTypes[static_cast<int>(dtype)]; }

}  // namespace pylayers
