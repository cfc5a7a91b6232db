// One tiny kernel for each instruction or layout: what they all take, and how they are found by name.
#pragma once
#include <map>
#include <string>

#include "csrc/launch.cuh"

namespace pylayers::instruction {

struct Arguments {
    std::byte const* in;
    std::byte* out;
    int n[20];  // whatever the kernel reads there
    ptx::TensorMap map;

    template <class T> DEVICE T const* in_as() const { return reinterpret_cast<T const*>(in); }
    template <class T> DEVICE T* out_as() const { return reinterpret_cast<T*>(out); }
};

template <int kBytes> struct Memory {
    alignas(1024) std::byte bytes[kBytes];
    ptx::Mbarrier barrier;
};
template <> struct Memory<0> {};

template <int kThreadCount, int kSharedBytes = 0, ptx::Target kNeeds = ptx::Target::kAny, int kBlocks = 1>
struct Instruction {
    using Params = Arguments;
    using Shared = Memory<kSharedBytes>;
    static constexpr int kThreads = kThreadCount;
    static constexpr int kBlocksPerSm = 1;
    static constexpr int kCluster = kBlocks;
    static constexpr ptx::Target kTarget = kNeeds;
};

// The block's threads copy `bytes`, a multiple of 4.
template <int kThreadCount> DEVICE void copy(std::byte* to, std::byte const* from, int bytes) {
    for (int i = ptx::thread_index(); i < bytes / 4; i += kThreadCount)
        reinterpret_cast<uint32_t*>(to)[i] = reinterpret_cast<uint32_t const*>(from)[i];
}

using Start = void (*)(int64_t blocks, Arguments const&, Stream);
using Kernels = std::map<std::string, Start>;

template <class Kernel> void start(int64_t blocks, Arguments const& arguments, Stream stream) {
    launch<Kernel>(blocks, arguments, stream);
}

void add_thread_kernels(Kernels& kernels);
void add_matrix_kernels(Kernels& kernels);
void add_copy_kernels(Kernels& kernels);
void add_cluster_kernels(Kernels& kernels);
void add_wgmma_kernels(Kernels& kernels);
void add_wgmma_sizes(Kernels& kernels);

}  // namespace pylayers::instruction
