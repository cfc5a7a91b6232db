// One value out of many threads: every thread gets the result, added in an order that does not depend on the schedule.
#pragma once
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

struct Sum {
    template <class T> DEVICE T operator()(T a, T b) const { return a + b; }
};
struct Max {
    DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }
};

template <class T, class Op> DEVICE T reduce_warp(T value, Op op) {
    UNROLL
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value = op(value, shuffle_xor(value, lanes));
    return value;
}

// Shared memory of one reduction over kThreads threads. A second reduction needs another, or a barrier in between.
template <class T, int kThreads> struct ReduceScratch {
    T partial[kThreads / kWarp];
};

// A warp needs no shared memory.
template <class T> struct ReduceScratch<T, kWarp> {};

// Over the kThreads threads that share `scratch`: one warp, or the whole block.
template <class T, int kThreads, class Op> DEVICE T reduce(T value, ReduceScratch<T, kThreads>& scratch, Op op) {
    value = reduce_warp(value, op);
    if constexpr (kThreads > kWarp) {
        if (thread_index() % kWarp == 0) scratch.partial[thread_index() / kWarp] = value;
        sync_block();
        value = scratch.partial[0];
        UNROLL
        for (int warp = 1; warp < kThreads / kWarp; ++warp) value = op(value, scratch.partial[warp]);
    }
    return value;
}

}  // namespace pylayers
