// Host side of gradient descent.
#include "kernels/sgd.cuh"

#include "csrc/ops.hpp"
#include "csrc/tensor_list.cuh"

namespace pylayers {

void sgd(Arrays const& parameters, Arrays const& gradients, Arrays const& momenta, Arrays const& steps,
         OptionalArray norm, Array workspace, SgdRates rates, Stream stream) {
    require_row("sgd", "norm", norm, 2);
    WrittenList const work = write_list("sgd", parameters, gradients, momenta, {}, steps, workspace, stream);
    launch<Sgd>(work.chunks, {work.list, pointer(norm), rates}, stream);
}

}  // namespace pylayers
