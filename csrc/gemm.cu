// Host side of y = activation(a b + bias): choose a tile, launch.
#include "kernels/gemm_simt.cuh"

#include "csrc/ops.hpp"
#include "csrc/simt.cuh"

namespace pylayers {
namespace {

MatrixProblem::Matrix matrix(Array const& x) { return {x.as<float>(), x.strides[0], x.strides[1], x.strides[2]}; }

}  // namespace

Plan plan_gemm(int64_t batches, int64_t m, int64_t n, int64_t k, DeviceSpec spec, std::string const& variant) {
    MatrixProblem const p{.batches = batches, .m = m, .n = n, .k = k};
    auto const& v = choose_simt("gemm", p, spec, variant);
    return {v.name, v.blocks(p), 0, 64};
}

void gemm(Array a, Array b, OptionalArray bias, Array y, Activation activation, std::string const& variant,
          Stream stream) {
    require_dtype("gemm", "a", a, DType::kFloat32);
    require_dtype("gemm", "b", b, DType::kFloat32);
    int64_t const batches = a.shape[0], m = a.shape[1], k = a.shape[2], n = b.shape[2];
    require_shape("gemm", "a", a, {batches, m, k});
    require_shape("gemm", "b", b, {batches, k, n});
    require_shape("gemm", "y", y, {batches, m, n});
    require_row("gemm", "bias", bias, n);
    MatrixProblem const p{batches, m, n, k, matrix(a), matrix(b), matrix(y), pointer(bias), stride(bias), activation};
    choose_simt("gemm", p, device_spec(stream.device), variant).run(p, stream);
}

}  // namespace pylayers
