// What a call of gemm means: its matrices as batches, the dtype of y, the epilogue; and what it must not be.
#include <algorithm>

#include "csrc/gemm.cuh"

namespace pylayers {
namespace {

Epilogue::Matrix matrix(OptionalArray const& x) {
    return x ? Epilogue::Matrix{x->data, x->strides[0], x->strides[1], x->strides[2]} : Epilogue::Matrix{};
}

OptionalArray batch(OptionalArray const& x) { return x ? OptionalArray(batch(*x)) : x; }

// Whether columns come in aligned pairs.
bool paired(OptionalArray const& x) {
    if (!x) return true;
    bool const aligned = reinterpret_cast<std::uintptr_t>(x->data) % (2 * info(x->dtype).bytes) == 0;
    return aligned && x->strides[2] == 1 && x->strides[1] % 2 == 0 && x->strides[0] % 2 == 0;
}

constexpr int64_t kLongestInt8 = 131071;  // so many products of two -128 stay below 2^31

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

}  // namespace

DType product_dtype(DType a, std::optional<DType> wanted, bool scaled) {
    using enum DType;
    auto const among = [&](std::initializer_list<DType> possible) {
        if (!wanted) return *possible.begin();
        if (std::ranges::find(possible, *wanted) != possible.end()) return *wanted;
        std::string names;
        for (DType dtype : possible) names += (names.empty() ? "" : " or ") + std::string(info(dtype).name);
        throw WrongType("gemm: argument 'out_dtype': expected " + names + " for " + std::string(info(a).name) +
                        " operands, got " + std::string(info(*wanted).name));
    };
    switch (a) {
        case kBfloat16:
        case kFloat16:
            return among({a, kFloat32});
        case kFloat8E4m3:
        case kFloat8E5m2:
            return among({kBfloat16, kFloat16, kFloat32});
        case kInt8:
            return scaled ? among({kFloat32, kBfloat16, kFloat16}) : among({kInt32, kFloat32, kBfloat16, kFloat16});
        default:
            return among({a});
    }
}

Array batch(Array x, bool transposed) {
    if (x.rank == 2) {
        x.shape = {1, x.shape[0], x.shape[1]}, x.strides = {0, x.strides[0], x.strides[1]};
        x.rank = 3;
    }
    if (transposed) std::swap(x.shape[1], x.shape[2]), std::swap(x.strides[1], x.strides[2]);
    return x;
}
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

Epilogue epilogue_of(GemmCall const& call, Array const& y, int64_t k) {
    int64_t const batches = y.shape[0], m = y.shape[1], n = y.shape[2];
    OptionalArray const residual = batch(call.residual), saved = batch(call.saved);
    require_beside("a", call.a, y), require_beside("b", call.b, y), require_beside("bias", call.bias, y);
    require_beside("residual", residual, y), require_beside("saved", saved, y);
    require_beside("scale_a", call.scale_a, y), require_beside("scale_b", call.scale_b, y);
    require_like("bias", call.bias, y, {n});
    require_like("residual", residual, y, {batches, m, n});
    require_like("saved", saved, y, {batches, m, n});
    if (call.a.dtype == DType::kInt8 && k > kLongestInt8)
        throw NotImplemented("gemm: argument 'a': expected at most " + std::to_string(kLongestInt8) +
                             " columns, whose products int32 can hold, got " + std::to_string(k));
    if (y.dtype == DType::kInt32 && !call.plain())
        throw NotImplemented(
            "gemm: argument 'out_dtype': expected a float dtype where there is an epilogue, got int32");
    Epilogue e{.m = m, .n = n, .y = matrix(y), .residual = matrix(residual), .saved = matrix(saved)};
    if (call.bias) e.bias = {call.bias->data, 0, 0, call.bias->strides[0]};
    e.scale_a = scale("scale_a", call.scale_a, m), e.scale_b = scale("scale_b", call.scale_b, n);
    e.alpha = float(call.alpha), e.beta = float(call.beta);
    e.dtype = y.dtype, e.activation = call.activation, e.derivative = saved.has_value();
    e.paired = paired(y) && paired(residual) && paired(saved);
    return e;
}

}  // namespace pylayers
