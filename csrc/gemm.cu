// Host side of y = f(alpha scale_a scale_b (a b) + bias + beta residual): check, choose a variant, launch, add splits.
#include "csrc/gemm.cuh"

#include "csrc/column_sum.cuh"
#include "csrc/launch.cuh"
#include "kernels/gemm_sum.cuh"

namespace pylayers {
namespace {

Epilogue::Matrix matrix(OptionalArray const& x) {
    return x ? Epilogue::Matrix{x->data, x->strides[0], x->strides[1], x->strides[2]} : Epilogue::Matrix{};
}

// (rows, columns) as a batch of one; transposed: what was given as its columns.
Array batch(Array x, bool transposed = false) {
    if (x.rank == 2) {
        x.shape = {1, x.shape[0], x.shape[1]}, x.strides = {0, x.strides[0], x.strides[1]};
        x.rank = 3;
    }
    if (transposed) std::swap(x.shape[1], x.shape[2]), std::swap(x.strides[1], x.strides[2]);
    return x;
}
OptionalArray batch(OptionalArray const& x) { return x ? OptionalArray(batch(*x)) : x; }

// (..., m, k) as one matrix, or as a batch of them where the axes before k have no common step.
Array folded(Array const& x) {
    require(x.rank > 0, "gemm: argument 'a': expected at least one axis, got ", x);
    Array y{.dtype = x.dtype, .rank = 3, .shape = {1, 1, x.shape[x.rank - 1]}, .data = x.data, .device = x.device};
    y.strides[2] = x.strides[x.rank - 1];
    int axis = 1;  // of y, which the axes of x are added to
    for (int i = x.rank - 1; i-- > 0;) {
        if (x.shape[i] == 1) continue;
        if (y.shape[axis] == 1)
            y.strides[axis] = x.strides[i];
        else if (x.strides[i] != y.shape[axis] * y.strides[axis] && x.size() != 0) {
            if (axis-- == 0)
                throw NotImplemented(
                    "gemm: argument 'a': expected axes that lie like those of at most one batch, got " + to_string(x));
            y.strides[axis] = x.strides[i];
        }
        y.shape[axis] *= x.shape[i];
    }
    return y;
}

// Whether columns come in aligned pairs.
bool paired(OptionalArray const& x) {
    if (!x) return true;
    bool const aligned = reinterpret_cast<std::uintptr_t>(x->data) % (2 * info(x->dtype).bytes) == 0;
    return aligned && x->strides[2] == 1 && x->strides[1] % 2 == 0 && x->strides[0] % 2 == 0;
}

constexpr int64_t kLongestInt8 = 131071;  // so many products of two -128 stay below 2^31

// What y may be for these operands.
void require_output(Array const& a, Array const& y) {
    bool const eight_bits = info(a.dtype).bytes == 1, short_float = info(y.dtype).bytes == 2;
    if (y.dtype == DType::kFloat32 || (short_float && (y.dtype == a.dtype || eight_bits))) return;
    if (y.dtype == DType::kInt32 && a.dtype == DType::kInt8) return;
    throw NotImplemented(
        "gemm: argument 'out_dtype': expected float32, or a's own dtype, or for 8-bit a 16-bit float or "
        "int32, got " +
        std::string(info(y.dtype).name) + " for " + to_string(a));
}

Epilogue::Scale scale(char const* name, OptionalArray const& x, int64_t size) {
    if (!x) return {};
    require_dtype("gemm", name, *x, DType::kFloat32);
    require_shape("gemm", name, *x, {x->shape[0] == 1 ? 1 : size});
    return {x->as<float const>(), x->shape[0] == 1 ? 0 : x->strides[0]};
}

std::string place(int device) {
    return device == kHost ? "host memory" : "the memory of GPU " + std::to_string(device);
}

// A kernel that reads memory of another place would end the process.
void require_beside(char const* name, Array const& x, Array const& y) {
    if (x.device != y.device)
        throw std::invalid_argument(std::string("gemm: argument '") + name + "': expected an array in " +
                                    place(y.device) + ", as y, got one in " + place(x.device));
}
void require_beside(char const* name, OptionalArray const& x, Array const& y) {
    if (x) require_beside(name, *x, y);
}

void require_like(char const* name, OptionalArray const& x, Array const& y, std::initializer_list<int64_t> shape) {
    if (!x) return;
    require(x->dtype == y.dtype, "gemm: argument '", name, "': expected ", info(y.dtype).name, " as y, got ", *x);
    require_shape("gemm", name, *x, shape);
}

// Second passes: the splits' sums through the epilogue, then the sums over 16 rows to those over all.
template <class Sum> void sum_splits(GemmProblem const& p, GemmGrid grid, Epilogue const& e, void* partial, Stream on) {
    using Kernel = GemmSum<Sum>;
    int64_t const patches = p.batches * Kernel::patches(p.m, p.n);
    launch<Kernel>(divide_up(patches, Kernel::kWarps), {static_cast<Sum*>(partial), p.batches, grid.splits, e}, on);
}

void run(GemmProblem& p, GemmChoice const& c, GemmWorkspace const& w, std::byte* space, OptionalArray const& sums,
         Stream on) {
    Epilogue e = p.epilogue;
    if (w.rows) e.column_sums = reinterpret_cast<float*>(space + w.splits);
    bool const exact = p.a.dtype == DType::kInt8;
    p.epilogue = e;
    if (w.splits) {
        p.epilogue = {.m = e.m, .n = e.n, .y = {space, e.m * e.n, e.n, 1}, .alpha = 1.0f};
        p.epilogue.dtype = exact ? DType::kInt32 : DType::kFloat32;
        p.epilogue.paired = e.n % 2 == 0;
    }
    if (c.grid.blocks > 0) c.variant->run(p, c.grid, on);
    if (w.splits) exact ? sum_splits<int32_t>(p, c.grid, e, space, on) : sum_splits<float>(p, c.grid, e, space, on);
    if (!sums) return;
    int64_t const rows = w.rows ? p.batches * divide_up(p.m, kEpilogueRows) : p.batches * p.m;
    StridedSource<float> const source{w.rows ? e.column_sums : static_cast<float*>(e.y.data), p.n, 1, 0, 1};
    float* const more = w.column_sum ? reinterpret_cast<float*>(space + w.splits + w.rows) : nullptr;
    sum_columns<true>(source, rows, p.n, sums->as<float>(), more, on);
}

}  // namespace

NewArray gemm(Array const& given_a, Array const& given_b, DType dtype, OptionalArray const& bias,
              OptionalArray const& given_residual, OptionalArray const& given_saved, OptionalArray const& scale_a,
              OptionalArray const& scale_b, OptionalArray const& sums, double alpha, double beta, Activation activation,
              Precision precision, bool transpose_a, bool transpose_b, std::string const& variant,
              Caller const& caller) {
    bool const shared = given_b.rank == 2 && given_a.rank != 2;
    require(shared ? !transpose_a : given_a.rank == given_b.rank, "gemm: argument 'b': expected the rank of a, got ",
            given_b, " for ", given_a);
    Array const a = shared ? folded(given_a) : batch(given_a, transpose_a);
    Array b = batch(given_b, transpose_b);
    OptionalArray const residual = batch(given_residual), saved = batch(given_saved);
    int64_t const batches = a.shape[0], m = a.shape[1], k = a.shape[2], n = b.shape[2];
    if (shared) b.shape[0] = batches, b.strides[0] = 0;
    require_shape("gemm", "a", a, {batches, m, k});
    require_shape("gemm", "b", b, {batches, k, n});
    Array like{.dtype = dtype, .rank = given_a.rank, .shape = given_a.shape};
    like.shape[like.rank - 1] = n;
    if (transpose_a) like.shape[like.rank - 2] = m;
    NewArray const new_y = caller.empty(like);
    Array const y{.dtype = dtype,
                  .rank = 3,
                  .shape = {batches, m, n},
                  .strides = {m * n, n, 1},
                  .data = new_y.data,
                  .device = new_y.device};
    require_beside("a", a, y), require_beside("b", b, y), require_beside("bias", bias, y);
    require_beside("residual", residual, y), require_beside("saved", saved, y);
    require_beside("scale_a", scale_a, y), require_beside("scale_b", scale_b, y);
    DeviceSpec const spec = device_spec(caller.stream.device);
    GemmProblem p = gemm_problem(a, b, precision);
    GemmChoice const c = choose_gemm(p, spec, variant);
    if (a.dtype == DType::kInt8 && k > kLongestInt8)
        throw NotImplemented("gemm: argument 'a': expected at most " + std::to_string(kLongestInt8) +
                             " columns, whose products int32 can hold, got " + std::to_string(k));
    require_like("bias", bias, y, {n});
    require_like("residual", residual, y, {batches, m, n});
    require_like("saved", saved, y, {batches, m, n});
    require_row("gemm", "sums", sums, n);
    require_output(a, y);
    Epilogue& e = p.epilogue;
    e = {.m = m, .n = n, .y = matrix(y), .residual = matrix(residual), .saved = matrix(saved)};
    if (bias) e.bias = {bias->data, 0, 0, bias->strides[0]};
    e.scale_a = scale("scale_a", scale_a, m), e.scale_b = scale("scale_b", scale_b, n);
    e.alpha = float(alpha), e.beta = float(beta);
    e.dtype = y.dtype, e.activation = activation, e.derivative = saved.has_value();
    e.paired = paired(y) && paired(residual) && paired(saved);
    bool const plain = !bias && !residual && !saved && !scale_a && !scale_b && !sums && alpha == 1.0 &&
                       activation == Activation::kNone;
    if (y.dtype == DType::kInt32 && !plain)
        throw NotImplemented(
            "gemm: argument 'out_dtype': expected a float dtype where there is an epilogue, got int32");
    GemmWorkspace const w = gemm_workspace(p, c, sums.has_value(), spec);
    run(p, c, w, caller.workspace(w.bytes()), sums, caller.stream);
    return new_y;
}

NewArray linear(Array const& x, Array const& weight, OptionalArray const& bias, Activation activation,
                Precision precision, Caller const& caller) {
    require(weight.rank == 2, "linear: argument 'weight': expected shape (out, in), got ", weight);
    return gemm(x, weight, x.dtype, bias, {}, {}, {}, {}, {}, 1.0, 1.0, activation, precision, false, true, "", caller);
}

}  // namespace pylayers
