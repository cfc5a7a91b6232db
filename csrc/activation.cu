// Host side of the activations.
#include "kernels/activation.cuh"

#include "csrc/elementwise.cuh"

namespace pylayers {

NewArray activation_forward(Array const& x, Activation activation, Caller const& caller) {
    return run_elementwise("activation_forward", ActivationForward{activation}, Order::kMemory, x, {&x}, caller);
}

NewArray activation_backward(Array const& dy, Array const& saved, Activation activation, Caller const& caller) {
    return run_elementwise("activation_backward", ActivationBackward{activation}, Order::kMemory, saved, {&dy, &saved},
                           caller);
}

}  // namespace pylayers
