// A ring of stages in shared memory: a producer fills each when it is empty, consumers empty it when it is full.
#pragma once
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

// Where one side stands in the ring; both sides walk it in the same order.
template <int kStages> struct RingPosition {
    int stage = 0;
    int parity = 0;  // of the turn, which a consumer waits for on `full`

    // What the producer waits for on `empty`: the end of the turn before, and in the first turn nothing.
    DEVICE int parity_before() const { return parity ^ 1; }

    DEVICE void advance() {
        if (++stage == kStages) stage = 0, parity ^= 1;
    }
    DEVICE void advance(int steps) {
        int const next = stage + steps;
        stage = next % kStages;
        parity ^= next / kStages % 2;
    }
};

template <int kStages> struct Ring {
    Mbarrier full[kStages];   // a stage's data is there
    Mbarrier empty[kStages];  // nobody reads it any more

    // By one thread, before a barrier of all that use the ring; where TMA or another block does, a fence comes between.
    DEVICE void init(int full_arrivals, int empty_arrivals) {
        for (int i = 0; i < kStages; ++i) {
            mbarrier_init(&full[i], full_arrivals);
            mbarrier_init(&empty[i], empty_arrivals);
        }
    }

    // By every warp that has read a stage, to each block of the cluster that sends to this one.
    template <int kCluster> DEVICE void release(int stage) {
        int const lane = thread_index() % kWarp;
        if constexpr (kCluster > 1) {
            if (lane < kCluster) mbarrier_arrive_cluster(&empty[stage], lane);
        } else if (lane == 0) {
            mbarrier_arrive(&empty[stage]);
        }
    }
};

}  // namespace pylayers
