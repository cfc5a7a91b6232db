// Host side of Adam and AdamW.
#include "kernels/adam.cuh"

#include "csrc/tensor_list.cuh"

namespace pylayers {

void adam(Arrays const& parameters, Arrays const& gradients, Arrays const& exp_avgs, Arrays const& exp_avg_sqs,
          Arrays const& steps, AdamRates const& rates, OptionalArray const& norm, Caller const& caller) {
    require_row("adam", "norm", norm, 2);
    WrittenList const work = write_list("adam",
                                        {.parameters = parameters,
                                         .gradients = gradients,
                                         .firsts = {exp_avgs.begin(), exp_avgs.end()},
                                         .seconds = exp_avg_sqs,
                                         .steps = steps},
                                        caller);
    launch<Adam>(work.chunks, {work.list, pointer(norm), rates}, caller.stream);
}

}  // namespace pylayers
