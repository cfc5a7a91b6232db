// What the emulator's own test kernels have in common: a buffer, small structs of shared memory, and one line for each.
#pragma once
#include <span>
#include <string_view>

#include "csrc/launch.cuh"
#include "csrc/tensor_map.hpp"

namespace pylayers::selftest {
using namespace ptx;

struct Buffer {
    float* data;  // (n,)
    int n;
};

// The same as a tensor (n / 32, 32), of which TMA moves eight rows at a time, swizzled by 128 bytes.
struct Rows : Buffer {
    TensorMap map;
};
constexpr int kBoxRows = 8, kBoxElements = kBoxRows * 32, kBoxBytes = kBoxElements * 4;

struct Nothing {};

template <int kThreadCount, class SharedStorage = Nothing, class P = Buffer, int kBlocks = 1> struct KernelOf {
    using Params = P;
    using Shared = SharedStorage;
    static constexpr int kThreads = kThreadCount;
    static constexpr int kBlocksPerSm = 1;
    static constexpr int kCluster = kBlocks;
    static constexpr Target kTarget = Target::kAny;
};

// A kernel of one lambda.
template <int kThreadCount, class SharedStorage, auto kBody, class P = Buffer, int kBlocks = 1>
struct Case : KernelOf<kThreadCount, SharedStorage, P, kBlocks> {
    static constexpr Target kTarget = Target::kSm90a;
    static void run(P const& p, SharedStorage& s) { kBody(p, s); }
};

template <int n> struct Row {
    float row[n];
};

// Brings its own parameters where the kernel has a function for that.
template <class Kernel> void start(Buffer buffer, int64_t blocks) {
    if constexpr (requires { Kernel::params(buffer); }) {
        launch<Kernel>(blocks, Kernel::params(buffer), Stream{});
    } else if constexpr (std::is_same_v<typename Kernel::Params, Rows>) {
        TensorMapSpec s{.dtype = DType::kFloat32, .data = buffer.data, .rank = 2, .swizzle_bytes = 128};
        s.sizes = {32, buffer.n / 32};
        s.strides = {1, 32};
        s.box = {32, kBoxRows};
        launch<Kernel>(blocks, {buffer, encode(s)}, Stream{});
    } else {
        launch<Kernel>(blocks, buffer, Stream{});
    }
}

struct Named {
    std::string_view name;
    void (*start)(Buffer buffer, int64_t blocks);
};
std::span<Named const> barrier_kernels();
std::span<Named const> copy_kernels();
std::span<Named const> matrix_kernels();
std::span<Named const> pipeline_kernels();

}  // namespace pylayers::selftest
