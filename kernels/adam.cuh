// Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019) over a list of tensors in one launch:
// m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, p -= rate m / (sqrt(v) + eps).
#pragma once
#include "kernels/tensor_list.cuh"

namespace pylayers {

struct Adam : PlainKernel<256, 4> {
    struct Params {
        TensorList list;
        float const* norm;  // (2,) or null
        AdamRates rates;
    };

    // What the step count decides, once for the block.
    struct Step {
        float size, eps;
    };
    struct Shared {
        Step step;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        if (must_skip(p.norm)) return;
        int64_t const chunk = block_index();
        TensorItem const item = p.list.find(chunk);
        // The powers are taken in double: 1 - 0.999f^t is wrong in the fifth digit.
        if (thread_index() == 0) shared.step = step_at(p.rates, item.step[0] + 1);
        sync_block();
        Step const step = shared.step;
        with_pointer(item.parameter, item.dtype, [&](auto* parameter) {
            with_pointer(item.first, item.moment_dtype, [&](auto* m) {
                auto* const gradient = static_cast<decltype(parameter)>(item.gradient);
                auto* const v = static_cast<decltype(m)>(item.second);
                for_chunk<kThreads>(item, chunk,
                                    [&](int64_t i) { update(p.rates, step, parameter[i], gradient[i], m[i], v[i]); });
            });
        });
        finish_chunk(item);
    }

    // With c1 = 1 - beta1^t and c2 = 1 - beta2^t, torch's lr m / c1 / (sqrt(v / c2) + eps) is
    // lr sqrt(c2) / c1 m / (sqrt(v) + eps sqrt(c2)); Keras leaves eps as it is.
    DEVICE static Step step_at(AdamRates const& p, uint32_t count) {
        if (p.bias_correction == BiasCorrection::kNone) return {float(p.lr), float(p.eps)};
        double const c1 = 1.0 - pow(p.beta1, double(count)), root2 = sqrt(1.0 - pow(p.beta2, double(count)));
        double const eps = p.bias_correction == BiasCorrection::kSeparate ? p.eps * root2 : p.eps;
        return {float(p.lr * root2 / c1), float(eps)};
    }

    template <class Parameter, class Moment>
    DEVICE static void update(AdamRates const& p, Step step, Parameter& parameter, Parameter gradient, Moment& m,
                              Moment& v) {
        float const beta1 = float(p.beta1), beta2 = float(p.beta2);
        float x = to_float(parameter), g = p.maximize ? -to_float(gradient) : to_float(gradient);
        if (p.decoupled)
            x *= float(1.0 - p.lr * p.weight_decay);
        else
            g = fmaf(float(p.weight_decay), x, g);
        float const first = beta1 * to_float(m) + float(1.0 - p.beta1) * g;
        float const second = beta2 * to_float(v) + float(1.0 - p.beta2) * g * g;
        m = from_float<Moment>(first);
        v = from_float<Moment>(second);
        parameter = from_float<Parameter>(x - step.size * first / (sqrtf(second) + step.eps));
    }
};

}  // namespace pylayers
