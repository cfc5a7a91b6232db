// The work list of an optimizer: built on the host, written in the stream's order, one launch for all of it.
#pragma once
#include "csrc/launch.cuh"
#include "csrc/ops/optimizer.hpp"
#include "kernels/tensor_list.cuh"

namespace pylayers {

// Tensor i of each list belongs together; a list that an optimizer does not have is empty, and so is a moment.
struct TensorLists {
    Arrays const& parameters;
    Arrays const& gradients;
    OptionalArrays firsts = {};
    Arrays seconds = {};
    Arrays steps = {};
};

struct WrittenList {
    TensorList list;
    int64_t chunks;
};

int64_t count_list_chunks(Arrays const& tensors);
WrittenList write_list(char const* op, TensorLists const& lists, Caller const& caller);

}  // namespace pylayers
