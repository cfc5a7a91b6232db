// Gradient descent over a list of tensors in one launch: b = momentum b + (1 - dampening) g (b = g at the first step),
// p -= lr b, or lr (g + momentum b) with Nesterov's look ahead.
#pragma once
#include "kernels/tensor_list.cuh"

namespace pylayers {

struct Sgd : PlainKernel<256, 4> {
    struct Params {
        TensorList list;
        float const* norm;  // (2,) or null
        SgdRates rates;
    };
    struct Shared {
        uint32_t step;
    };

    DEVICE static void run(Params const& p, Shared& shared) {
        if (must_skip(p.norm)) return;
        int64_t const chunk = block_index();
        TensorItem const item = p.list.find(chunk);
        if (thread_index() == 0) shared.step = item.step[0];
        sync_block();
        bool const first_step = shared.step == 0;
        with_pointer(item.parameter, item.dtype, [&](auto* parameter) {
            auto* const gradient = static_cast<decltype(parameter)>(item.gradient);
            with_pointer(item.first, item.moment_dtype, [&](auto* buffer) {
                for_chunk<kThreads>(
                    item, chunk, [&](int64_t i) { update(p.rates, first_step, parameter[i], gradient[i], buffer, i); });
            });
        });
        finish_chunk(item);
    }

    template <class Parameter, class Moment>
    DEVICE static void update(SgdRates const& p, bool first_step, Parameter& parameter, Parameter gradient,
                              Moment* buffer, int64_t i) {
        float const x = to_float(parameter);
        float g = p.maximize ? -to_float(gradient) : to_float(gradient);
        g = fmaf(float(p.weight_decay), x, g);
        if (buffer) {
            float const b = first_step ? g : float(p.momentum) * to_float(buffer[i]) + float(1.0 - p.dampening) * g;
            buffer[i] = from_float<Moment>(b);
            g = p.nesterov ? fmaf(float(p.momentum), b, g) : b;
        }
        parameter = from_float<Parameter>(x - float(p.lr) * g);
    }
};

}  // namespace pylayers
