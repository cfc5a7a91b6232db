// The work list of an optimizer: built on the host, written in the stream's order, one launch for all of it.
#pragma once
#include "csrc/launch.cuh"
#include "csrc/ops.hpp"
#include "kernels/tensor_list.cuh"

namespace pylayers {

struct WrittenList {
    TensorList list;
    int64_t chunks;
};

// Tensor i of each list belongs together; `firsts` and `seconds` may be empty.
WrittenList write_list(char const* op, Arrays const& parameters, Arrays const& gradients, Arrays const& firsts,
                       Arrays const& seconds, Arrays const& steps, Array const& workspace, Stream stream);

int64_t count_list_chunks(Sizes const& sizes);

}  // namespace pylayers
