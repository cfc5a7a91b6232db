// y = activation(x) and dx = dy activation'(.), element by element.
#pragma once
#include "kernels/elementwise.cuh"

namespace pylayers {

struct ActivationForward {
    static constexpr int kInputs = 1;
    Activation activation;
    DEVICE float operator()(int64_t, float const (&x)[1]) const { return activate(x[0], activation); }
};

struct ActivationBackward {
    static constexpr int kInputs = 2;  // dy and what forward saved
    Activation activation;
    DEVICE float operator()(int64_t, float const (&x)[2]) const { return activation_gradient(x[0], x[1], activation); }
};

}  // namespace pylayers
