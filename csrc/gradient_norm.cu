// Host side of the norm of all gradients.
#include "kernels/gradient_norm.cuh"

#include "csrc/tensor_list.cuh"

namespace pylayers {

NewArray gradient_norm(Arrays const& gradients, Caller const& caller) {
    NewArray const norm = caller.empty(DType::kFloat32, {2});
    NormPair* const partial = caller.workspace<NormPair>(count_list_chunks(gradients));
    UploadedList const up = upload_list("gradient_norm", {.parameters = gradients, .gradients = gradients}, caller);
    launch<GradientNormChunk>(up.chunks, {up.list, partial}, caller.stream);
    launch<GradientNormSum>(1, {partial, up.chunks, norm.as<float>()}, caller.stream);
    return norm;
}

}  // namespace pylayers
