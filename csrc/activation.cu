// Host side of the activations.
#include "kernels/activation.cuh"

#include "csrc/elementwise.cuh"

namespace pylayers {

void activation_forward(Array x, Array y, Activation activation, Stream stream) {
    run_elementwise("activation_forward", ActivationForward{activation}, Order::kMemory, y, {&x}, stream);
}

void activation_backward(Array dy, Array saved, Array dx, Activation activation, Stream stream) {
    run_elementwise("activation_backward", ActivationBackward{activation}, Order::kMemory, dx, {&dy, &saved}, stream);
}

}  // namespace pylayers
