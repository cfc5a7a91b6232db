// Host side of Adam and AdamW.
#include "kernels/adam.cuh"

#include "csrc/ops.hpp"
#include "csrc/tensor_list.cuh"

namespace pylayers {

void adam(Arrays const& parameters, Arrays const& gradients, Arrays const& exp_avgs, Arrays const& exp_avg_sqs,
          Arrays const& steps, OptionalArray norm, Array workspace, AdamRates rates, Stream stream) {
    require_row("adam", "norm", norm, 2);
    WrittenList const work = write_list("adam", parameters, gradients, exp_avgs, exp_avg_sqs, steps, workspace, stream);
    launch<Adam>(work.chunks, {work.list, pointer(norm), rates}, stream);
}

}  // namespace pylayers
