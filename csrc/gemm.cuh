// What the launchers of gemm share: the problem, and the tables of its compiled variants.
#pragma once
#include <span>
#include <string>

#include "csrc/dispatch.hpp"
#include "csrc/ops/matrix.hpp"
#include "csrc/variants.hpp"
#include "kernels/core/epilogue.cuh"
#include "kernels/core/operand_tile.cuh"

namespace pylayers {

struct GemmProblem;
using GemmVariant = Variant<GemmProblem>;
using GemmChoice = Choice<GemmProblem>;

// Bytes of what the second passes read: sums of splits, sums over 16 rows, sums of those.
struct GemmWorkspace {
    int64_t splits, rows, column_sum;
    int64_t bytes() const { return splits + rows + column_sum; }
};

// y[z] = epilogue(a[z] b[z])
struct GemmProblem : ProductSizes {
    // Along which dimension an operand's elements are neighbours, in rows that begin at multiples of 16 bytes.
    struct Access {
        bool along_k, along_mn;
    };

    Array a, b;  // (batches, m, k) and (batches, k, n), any strides
    Access a_access, b_access;
    Precision precision;
    bool column_sums;  // of y, over all rows
    Epilogue epilogue;

    GemmProblem(Array const& a, Array const& b, Precision precision, bool column_sums);

    static constexpr char const* kFamily = "gemm";
    static constexpr bool kSplits = true;
    static std::span<GemmVariant const> table();
    std::span<GemmVariant const> variants() const;
    std::string key() const;  // dtypes of a and b, precision, and along what they lie: "rows", "columns" or "any"
    std::string operands() const { return to_string(a) + " and " + to_string(b); }
    std::optional<GemmProblem> stricter() const;
    GemmWorkspace workspace(GemmChoice const& c, DeviceSpec const& spec) const;
    int64_t workspace_bytes(GemmChoice const& c, DeviceSpec const& spec) const { return workspace(c, spec).bytes(); }
    static GemmProblem asked(Question const& q);
};

std::span<GemmVariant const> gemm_simt();
std::span<GemmVariant const> gemm_sm80();
std::span<GemmVariant const> gemm_bf16_sm90();
std::span<GemmVariant const> gemm_fp16_sm90();
std::span<GemmVariant const> gemm_tf32_sm90();
std::span<GemmVariant const> gemm_fp8_sm90();
std::span<GemmVariant const> gemm_int8_sm90();

// What one product is made of; matrices as Python gives them.
struct GemmCall {
    Array const &a, &b;
    OptionalArray const &bias = kNothing, &residual = kNothing, &saved = kNothing, &scale_a = kNothing,
                        &scale_b = kNothing;
    double alpha = 1.0, beta = 1.0;
    Activation activation = Activation::kNone;
    std::optional<DType> out_dtype = {};
    Precision precision = Precision::kFloat32;
    bool column_sums = false, transpose_a = false, transpose_b = false;

    static constexpr OptionalArray kNothing{};

    // Whether y is the product alone.
    bool plain() const {
        return !bias && !residual && !saved && !scale_a && !scale_b && !column_sums && alpha == 1.0 &&
               activation == Activation::kNone;
    }
};

// The dtype of y: the one asked for, or the first that operands of this dtype may have. Integers stay exact unless they
// are scaled or a float is asked for.
DType product_dtype(DType a, std::optional<DType> wanted, bool scaled);
// (rows, columns) as a batch of one; transposed: what was given as its columns.
Array batch(Array x, bool transposed = false);
// (..., m, k) as one matrix, or as a batch of them where the axes before k have no common step.
Array folded(Array const& x);
Epilogue epilogue_of(GemmCall const& call, Array const& y, int64_t k);

// Of `rows`, the dimension of m or n; strides along a dimension of one element mean nothing.
OperandMatrix operand_matrix(Array const& x, int rows);

template <class T>
constexpr Precision kPrecisionOf = std::is_same_v<T, ptx::tf32> ? Precision::kTf32 : Precision::kFloat32;

}  // namespace pylayers
