// y = x keep / (1 - p) with a mask that is a function of (seed, offset, element): Philox4x32-10
// (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), one call for four elements.
#pragma once
#include "kernels/elementwise.cuh"

namespace pylayers {

struct Philox {
    uint32_t key[2];

    // Word `which` of the block with this counter.
    DEVICE uint32_t word(uint64_t counter, int which) const {
        uint32_t c[4] = {uint32_t(counter), uint32_t(counter >> 32), 0, 0};
        uint32_t k0 = key[0], k1 = key[1];
        UNROLL
        for (int round = 0; round < 10; ++round) {
            uint64_t const a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
            uint32_t const next[4] = {uint32_t(b >> 32) ^ c[1] ^ k0, uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ k1,
                                      uint32_t(a)};
            UNROLL
            for (int i = 0; i < 4; ++i) c[i] = next[i];
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        return which < 2 ? (which == 0 ? c[0] : c[1]) : (which == 2 ? c[2] : c[3]);
    }
};

struct Dropout {
    static constexpr int kInputs = 1;
    Philox philox;
    uint64_t offset;
    uint64_t threshold;  // p 2^32: a word below it drops the element
    float scale;         // 1 / (1 - p), 0 where everything is dropped
    DEVICE float operator()(int64_t i, float const (&x)[1]) const {
        bool const keep = philox.word(offset + uint64_t(i) / 4, int(i % 4)) >= threshold;
        return x[0] * (keep ? scale : 0.0f);  // a product, so that what is not finite shows as NaN even where dropped
    }
};

}  // namespace pylayers
