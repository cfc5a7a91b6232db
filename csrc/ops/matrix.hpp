// Matrix products and the sums over the rows of a matrix.
#pragma once
#include <variant>

#include "csrc/ops/caller.hpp"

namespace pylayers {

// y = f(alpha scale_a scale_b (a b) + bias + beta residual), f the activation, or the product with its derivative at
// `saved`; with column_sums (y, sums of it over all rows in float32). Matrices have rank 2 or, in batches, 3; a
// transposed one is given as its columns. One matrix b of rank 2 serves all matrices of a (..., m, k).
std::variant<NewArray, Two> gemm(Array const& a, Array const& b, OptionalArray const& bias, Activation activation,
                                 OptionalArray const& residual, double alpha, double beta, OptionalArray const& scale_a,
                                 OptionalArray const& scale_b, OptionalArray const& saved,
                                 std::optional<DType> out_dtype, Precision precision, bool column_sums,
                                 bool transpose_a, bool transpose_b, Caller const& caller);
// The same with what a layer leaves out: y (..., n) = f(x (..., k) weight^T (k, n) + bias), in the dtype of all three.
NewArray linear(Array const& x, Array const& weight, OptionalArray const& bias, Activation activation,
                Precision precision, Caller const& caller);

NewArray column_sum(Array const& x, Caller const& caller);

inline constexpr auto kMatrixOps = std::tuple{Op{"gemm", &gemm}, Op{"linear", &linear}, Op{"column_sum", &column_sum}};

}  // namespace pylayers
