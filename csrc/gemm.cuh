// What the launchers of gemm share: the problem, and a row of the tables of compiled variants.
#pragma once
#include <span>

#include "csrc/dispatch.hpp"
#include "csrc/ops/matrix.hpp"
#include "kernels/core/epilogue.cuh"
#include "kernels/core/operand_tile.cuh"

namespace pylayers {

struct GemmProblem {
    // Along which dimension an operand's elements are neighbours, in rows that begin at multiples of 16 bytes.
    struct Access {
        bool along_k, along_mn;
    };

    int64_t batches, m, n, k;
    Array a, b;  // (batches, m, k) and (batches, k, n), any strides
    Access a_access, b_access;
    Precision precision;
    Epilogue epilogue;
};

// How a launch divides the problem: k in `splits` parts of `tiles_per_split` tiles, and a grid.
struct GemmGrid {
    int64_t splits, tiles_per_split, blocks;
};

struct GemmVariant {
    char const* name;
    DType a, b;
    Precision precision;  // kTf32: for float32 that may be rounded
    int capability;       // 90: exactly that; otherwise that or later
    int tile_m, tile_n, tile_k, stages;
    int cluster;       // blocks along m that work together
    int shared_bytes;  // of a block
    bool persistent;   // blocks walk over tiles; otherwise there is one for each
    int rate;          // products in a clock of an SM, as far as is known: the plan's guess, not a measurement
    bool (*serves)(GemmProblem const&);
    // With splits > 1 part s of batch z of the sums goes to row z * splits + s of the epilogue's y.
    void (*run)(GemmProblem const&, GemmGrid, Stream);
};

std::span<GemmVariant const> gemm_simt();
std::span<GemmVariant const> gemm_sm80();
std::span<GemmVariant const> gemm_bf16_sm90();
std::span<GemmVariant const> gemm_fp16_sm90();
std::span<GemmVariant const> gemm_tf32_sm90();
std::span<GemmVariant const> gemm_fp8_sm90();
std::span<GemmVariant const> gemm_int8_sm90();

// A variant and its grid. Clocks of the whole device decide; they are a model, not a measurement.
struct GemmChoice {
    GemmVariant const* variant = nullptr;
    GemmGrid grid{};
    double clocks = 0;
};

// Bytes of what the second passes read: sums of splits, sums over 16 rows, sums of those.
struct GemmWorkspace {
    int64_t splits, rows, column_sum;
    int64_t bytes() const { return splits + rows + column_sum; }
};

// A problem that was measured and what was quickest for it; names are those of GemmRow.
struct MeasuredGemm {
    std::string_view a, b, precision;
    int capability;
    std::string_view a_lies, b_lies;  // aligned in "rows" or "columns", or in neither: "any"
    int64_t batches, m, n, k;
    std::string_view variant;  // "name*splits"
};

// The rows of csrc/gemm_choices.hpp.
std::span<MeasuredGemm const> measured_gemms();
// The row of the problem most like this one, or nullptr where none is like it.
MeasuredGemm const* nearest_measured(std::span<MeasuredGemm const> table, GemmProblem const& p, int capability);

GemmProblem gemm_problem(Array const& a, Array const& b, Precision precision);
// The variant named, "name" or "name*splits"; with no name the one that was quickest for the nearest problem measured,
// or, where there is none, the one that the model takes for quickest.
GemmChoice choose_gemm(GemmProblem const& p, DeviceSpec const& spec, std::string_view variant,
                       std::span<MeasuredGemm const> measured = measured_gemms());
Plan plan_of(GemmProblem const& p, GemmChoice const& c, bool column_sums, DeviceSpec const& spec);
GemmWorkspace gemm_workspace(GemmProblem const& p, GemmChoice const& c, bool column_sums, DeviceSpec const& spec);

// Of `rows`, the dimension of m or n; strides along a dimension of one element mean nothing.
OperandMatrix operand_matrix(Array const& x, int rows);

template <class T>
constexpr Precision kPrecisionOf = std::is_same_v<T, ptx::tf32> ? Precision::kTf32 : Precision::kFloat32;

}  // namespace pylayers
