// Host side of gradient descent.
#include "kernels/sgd.cuh"

#include "csrc/tensor_list.cuh"

namespace pylayers {

void sgd(Arrays const& parameters, Arrays const& gradients, OptionalArrays const& momenta, Arrays const& steps,
         SgdRates const& rates, OptionalArray const& norm, Caller const& caller) {
    require_row("sgd", "norm", norm, 2);
    WrittenList const work = write_list(
        "sgd", {.parameters = parameters, .gradients = gradients, .firsts = momenta, .steps = steps}, caller);
    launch<Sgd>(work.chunks, {work.list, pointer(norm), rates}, caller.stream);
}

}  // namespace pylayers
