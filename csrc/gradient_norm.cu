// Host side of the norm of all gradients.
#include "kernels/gradient_norm.cuh"

#include "csrc/tensor_list.cuh"

namespace pylayers {

NewArray gradient_norm(Arrays const& gradients, Caller const& caller) {
    NewArray const norm = caller.empty(DType::kFloat32, {2});
    NormPair* const partial = caller.workspace<NormPair>(count_list_chunks(gradients));
    WrittenList const work = write_list("gradient_norm", {.parameters = gradients, .gradients = gradients}, caller);
    launch<GradientNormChunk>(work.chunks, {work.list, partial}, caller.stream);
    launch<GradientNormSum>(1, {partial, work.chunks, norm.as<float>()}, caller.stream);
    return norm;
}

}  // namespace pylayers
