// What a kernel of plain instructions says of itself; one that needs more of the chip says so in its own struct.
#pragma once
#include "kernels/core/ptx.cuh"

namespace pylayers {

template <int Threads, int BlocksPerSm> struct PlainKernel {
    static constexpr int kThreads = Threads;
    static constexpr int kBlocksPerSm = BlocksPerSm;
    static constexpr ptx::Target kTarget = ptx::Target::kAny;
    struct Shared {};
};

// Blocks that run together and see each other's shared memory: `kCluster` where the kernel says it.
template <class Kernel> constexpr int cluster_of() {
    if constexpr (requires { Kernel::kCluster; })
        return Kernel::kCluster;
    else
        return 1;
}

}  // namespace pylayers
