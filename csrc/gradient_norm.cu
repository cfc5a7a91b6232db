// Host side of the norm of all gradients.
#include "kernels/gradient_norm.cuh"

#include "csrc/ops.hpp"
#include "csrc/tensor_list.cuh"

namespace pylayers {

int64_t gradient_norm_workspace_bytes(Sizes const& sizes) {
    return count_list_chunks(sizes) * int64_t(sizeof(NormPair));
}

void gradient_norm(Arrays const& gradients, Array norm, Array list_workspace, Array workspace, Stream stream) {
    require_row("gradient_norm", "norm", norm, 2);
    WrittenList const work = write_list("gradient_norm", gradients, gradients, {}, {}, {}, list_workspace, stream);
    launch<GradientNormChunk>(work.chunks, {work.list, workspace.as<NormPair>()}, stream);
    launch<GradientNormSum>(1, {workspace.as<NormPair>(), work.chunks, norm.as<float>()}, stream);
}

}  // namespace pylayers
