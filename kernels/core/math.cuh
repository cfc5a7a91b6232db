// Activations and their derivatives, and the small functions that several kernels share.
#pragma once
#include "kernels/core/enums.hpp"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

HOST_DEVICE constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr float kSqrtHalf = 0.70710678118654752f, kInverseSqrt2Pi = 0.39894228040143268f;
constexpr float kSqrt2OverPi = 0.79788456080286536f, kGeluCubic = 0.044715f;

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

DEVICE float activate(float x, Activation activation) {
    switch (activation) {
        case Activation::kNone:
            return x;
        case Activation::kRelu:
            return x < 0.0f ? 0.0f : x;  // keeps a NaN
        case Activation::kSigmoid:
            return sigmoid(x);
        case Activation::kTanh:
            return tanhf(x);
        case Activation::kGelu:
            return 0.5f * x * (1.0f + erff(x * kSqrtHalf));
        case Activation::kGeluTanh:
            return 0.5f * x * (1.0f + tanhf(kSqrt2OverPi * (x + kGeluCubic * x * x * x)));
        case Activation::kSilu:
            return x * sigmoid(x);
    }
    return x;
}

// dx = dy activation'(.) from what forward saved: y for relu, sigmoid and tanh, x for the others.
DEVICE float activation_gradient(float dy, float saved, Activation activation) {
    float const s = saved;
    switch (activation) {
        case Activation::kNone:
            return dy;
        case Activation::kRelu:
            return s <= 0.0f ? 0.0f : dy;  // no product: 0 even for an infinite dy, and dy where a NaN was saved
        case Activation::kSigmoid:
            return dy * (s * (1.0f - s));
        case Activation::kTanh:
            return dy * (1.0f - s * s);
        case Activation::kGelu:
            return dy * (0.5f * (1.0f + erff(s * kSqrtHalf)) + s * kInverseSqrt2Pi * expf(-0.5f * s * s));
        case Activation::kGeluTanh: {
            float const t = tanhf(kSqrt2OverPi * (s + kGeluCubic * s * s * s));
            float const slope = kSqrt2OverPi * (1.0f + 3.0f * kGeluCubic * s * s);
            return dy * (0.5f * (1.0f + t) + 0.5f * s * (1.0f - t * t) * slope);
        }
        case Activation::kSilu:
            return dy * (sigmoid(s) * (1.0f + s * (1.0f - sigmoid(s))));
    }
    return dy;
}

}  // namespace pylayers
