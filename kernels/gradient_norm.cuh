// norm[0] = sqrt(sum of g^2 over a list of tensors), norm[1] = 1 if any g is not finite: a pair for each chunk, then
// one block adds the pairs. In double, so that neither the square of a large gradient nor a long sum is lost.
#pragma once
#include "kernels/core/reduce.cuh"
#include "kernels/tensor_list.cuh"

namespace pylayers {

struct NormPair {
    double squares;
    double bad;  // elements that are not finite
};

template <int kThreads> struct NormScratch {
    ReduceScratch<double, kThreads> squares, bad;

    DEVICE NormPair add(NormPair x) {
        return {reduce<double, kThreads>(x.squares, squares, Sum{}), reduce<double, kThreads>(x.bad, bad, Sum{})};
    }
};

struct GradientNormChunk : PlainKernel<256, 4> {
    struct Params {
        TensorList list;
        NormPair* partial;  // one for each chunk
    };
    using Shared = NormScratch<kThreads>;

    DEVICE static void run(Params const& p, Shared& shared) {
        int64_t const chunk = block_index();
        TensorItem const item = p.list.find(chunk);
        NormPair sum{0.0, 0.0};
        with_pointer(item.gradient, item.dtype, [&](auto* gradient) {
            for_chunk<kThreads>(item, chunk, [&](int64_t i) {
                float const g = to_float(gradient[i]);
                bool const finite = g - g == 0.0f;
                if (finite)
                    sum.squares += double(g) * double(g);
                else
                    sum.bad += 1.0;
            });
        });
        sum = shared.add(sum);
        if (thread_index() == 0) p.partial[chunk] = sum;
    }
};

struct GradientNormSum : PlainKernel<256, 1> {
    struct Params {
        NormPair const* partial;
        int64_t chunks;
        float* norm;  // (2,)
    };
    using Shared = NormScratch<kThreads>;

    DEVICE static void run(Params const& p, Shared& shared) {
        NormPair sum{0.0, 0.0};
        for (int64_t i = thread_index(); i < p.chunks; i += kThreads) {
            sum.squares += p.partial[i].squares;
            sum.bad += p.partial[i].bad;
        }
        sum = shared.add(sum);
        if (thread_index() != 0) return;
        p.norm[0] = sum.bad > 0.0 ? NAN : float(sqrt(sum.squares));
        p.norm[1] = sum.bad > 0.0 ? 1.0f : 0.0f;
    }
};

}  // namespace pylayers
