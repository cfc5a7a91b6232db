// Host side of y = f(alpha scale_a scale_b (a b) + bias + beta residual): check, choose a variant, launch, add splits.
#include "csrc/gemm.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/launch.cuh"
#include "kernels/gemm_sum.cuh"

namespace pylayers {
namespace {

// Second passes: the splits' sums through the epilogue, then the sums over 16 rows to those over all.
template <class Sum>
void sum_splits(GemmProblem const& p, int64_t splits, Epilogue const& e, void* partial, Stream on) {
    using Kernel = GemmSum<Sum>;
    int64_t const patches = p.batches * Kernel::patches(p.m, p.n);
    launch<Kernel>(divide_up(patches, Kernel::kWarps), {static_cast<Sum*>(partial), p.batches, splits, e}, on);
}

struct GemmResult {
    NewArray y;
    std::optional<NewArray> sums;
};

// The kernel, and the passes over what it leaves in `space`: splits, and sums over 16 rows. `sums` may be null.
void run(GemmProblem& p, GemmChoice const& c, GemmWorkspace const& w, std::byte* space, float* sums, Stream on) {
    Epilogue e = p.epilogue;
    if (w.rows) e.column_sums = reinterpret_cast<float*>(space + w.splits);
    bool const exact = p.a.dtype == DType::kInt8;
    p.epilogue = e;
    if (w.splits) {
        p.epilogue = {.m = e.m, .n = e.n, .y = {space, e.m * e.n, e.n, 1}, .alpha = 1.0f};
        p.epilogue.dtype = exact ? DType::kInt32 : DType::kFloat32;
        p.epilogue.paired = e.n % 2 == 0;
    }
    int64_t const splits = c.division.splits;
    if (c.division.blocks > 0) c.variant->run(p, c.division, on);
    if (w.splits) exact ? sum_splits<int32_t>(p, splits, e, space, on) : sum_splits<float>(p, splits, e, space, on);
    if (!sums) return;
    int64_t const rows = w.rows ? p.batches * divide_up(p.m, kEpilogueRows) : p.batches * p.m;
    StridedSource<float> const source{w.rows ? e.column_sums : static_cast<float*>(e.y.data), p.n, 1, 0, 1};
    float* const more = w.column_sum ? reinterpret_cast<float*>(space + w.splits + w.rows) : nullptr;
    sum_columns<true>(source, rows, p.n, sums, more, on);
}

GemmResult multiply(GemmCall const& call, Caller const& caller) {
    Array const &given_a = call.a, &given_b = call.b;
    DType const dtype = product_dtype(given_a.dtype, call.out_dtype, call.scale_a || call.scale_b);
    bool const shared = given_b.rank == 2 && given_a.rank != 2;
    require(shared ? !call.transpose_a : given_a.rank == given_b.rank,
            "gemm: argument 'b': expected the rank of a, got ", given_b, " for ", given_a);
    Array const a = shared ? folded(given_a) : batch(given_a, call.transpose_a);
    Array b = batch(given_b, call.transpose_b);
    int64_t const batches = a.shape[0], m = a.shape[1], k = a.shape[2], n = b.shape[2];
    if (shared) b.shape[0] = batches, b.strides[0] = 0;
    require_shape("gemm", "a", a, {batches, m, k});
    require_shape("gemm", "b", b, {batches, k, n});
    DeviceSpec const spec = device_spec(caller.stream.device);
    GemmProblem p(a, b, call.precision, call.column_sums);
    GemmChoice const choice = choose(p, spec, caller.variant);
    Array like{.dtype = dtype, .rank = given_a.rank, .shape = given_a.shape};
    like.shape[like.rank - 1] = n;
    if (call.transpose_a) like.shape[like.rank - 2] = m;
    GemmResult result{caller.empty(like), {}};
    Array const y{.dtype = dtype,
                  .rank = 3,
                  .shape = {batches, m, n},
                  .strides = {m * n, n, 1},
                  .data = result.y.data,
                  .device = result.y.device};
    p.epilogue = epilogue_of(call, y, k);
    if (call.column_sums) result.sums = caller.empty(DType::kFloat32, {n});
    GemmWorkspace const w = p.workspace(choice, spec);
    float* const sums = call.column_sums ? result.sums->as<float>() : nullptr;
    run(p, choice, w, caller.workspace(w.bytes()), sums, caller.stream);
    return result;
}

}  // namespace

std::variant<NewArray, Two> gemm(Array const& a, Array const& b, OptionalArray const& bias, Activation activation,
                                 OptionalArray const& residual, double alpha, double beta, OptionalArray const& scale_a,
                                 OptionalArray const& scale_b, OptionalArray const& saved,
                                 std::optional<DType> out_dtype, Precision precision, bool column_sums,
                                 bool transpose_a, bool transpose_b, Caller const& caller) {
    GemmCall const call{.a = a,
                        .b = b,
                        .bias = bias,
                        .residual = residual,
                        .saved = saved,
                        .scale_a = scale_a,
                        .scale_b = scale_b,
                        .alpha = alpha,
                        .beta = beta,
                        .activation = activation,
                        .out_dtype = out_dtype,
                        .precision = precision,
                        .column_sums = column_sums,
                        .transpose_a = transpose_a,
                        .transpose_b = transpose_b};
    GemmResult const result = multiply(call, caller);
    if (result.sums) return Two{result.y, *result.sums};
    return result.y;
}

NewArray linear(Array const& x, Array const& weight, OptionalArray const& bias, Activation activation,
                Precision precision, Caller const& caller) {
    require(weight.rank == 2, "linear: argument 'weight': expected shape (out, in), got ", weight);
    GemmCall const call{.a = x,
                        .b = weight,
                        .bias = bias,
                        .activation = activation,
                        .out_dtype = x.dtype,
                        .precision = precision,
                        .transpose_b = true};
    return multiply(call, caller).y;
}

}  // namespace pylayers
