// Matrix products and the sums over the rows of a matrix.
#pragma once
#include "csrc/ops/caller.hpp"

namespace pylayers {

// A row of the tables: name, dtypes of a and b, precision, capability, tile m, n and k, stages, cluster,
// bytes of shared memory.
using GemmRow = std::tuple<std::string, std::string, std::string, std::string, int, int, int, int, int, int, int>;
std::vector<GemmRow> gemm_rows();
Plan plan_gemm(Array a, Array b, bool column_sums, Precision precision, DeviceSpec spec, std::string const& variant);
// A row of csrc/gemm_choices.hpp: a, b, precision, capability, how a and b lie, batches, m, n, k, variant and splits.
using GemmMeasurement = std::tuple<std::string, std::string, std::string, int, std::string, std::string, int64_t,
                                   int64_t, int64_t, int64_t, std::string>;
// The plan if these had been measured.
Plan plan_gemm_measured(Array a, Array b, Precision precision, DeviceSpec spec, std::string const& variant,
                        std::vector<GemmMeasurement> const& rows);
// y = f(alpha scale_a scale_b (a b) + bias + beta residual), f the activation, or the product with its derivative at
// `saved`; sums: of y over all rows. Matrices have rank 2 or, in batches, 3; a transposed one is given as its columns.
// One matrix b of rank 2 serves all matrices of a (..., m, k).
NewArray gemm(Array const& a, Array const& b, DType dtype, OptionalArray const& bias, OptionalArray const& residual,
              OptionalArray const& saved, OptionalArray const& scale_a, OptionalArray const& scale_b,
              OptionalArray const& sums, double alpha, double beta, Activation activation, Precision precision,
              bool transpose_a, bool transpose_b, std::string const& variant, Caller const& caller);
// The same with what a layer leaves out: y (..., n) = f(x (..., k) weight^T (k, n) + bias), in the dtype of all three.
NewArray linear(Array const& x, Array const& weight, OptionalArray const& bias, Activation activation,
                Precision precision, Caller const& caller);

NewArray column_sum(Array const& x, Caller const& caller);

inline constexpr auto kMatrixOps = std::tuple{Op{"gemm", &gemm}, Op{"linear", &linear}, Op{"column_sum", &column_sum}};

}  // namespace pylayers
