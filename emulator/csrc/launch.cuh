// The emulated build's file of this name: launch<Kernel>() runs the kernel on the emulator.
#pragma once
#include <algorithm>
#include <type_traits>

#include "csrc/runtime.hpp"
#include "emulator/launch.hpp"
#include "kernels/core/kernel.cuh"

namespace pylayers {

template <class Kernel> void launch(int64_t blocks, typename Kernel::Params params, Stream) {
    using Params = typename Kernel::Params;
    using Shared = typename Kernel::Shared;
    static_assert(std::is_trivially_copyable_v<Params> && std::is_trivially_copyable_v<Shared>);
    static_assert(sizeof(Params) <= 4096, "what every GPU takes as kernel parameters");
    static_assert(alignof(Shared) <= 1024, "shared memory begins at a multiple of 1024 bytes");
    static_assert(Kernel::kBlocksPerSm >= 1 && std::is_same_v<decltype(Kernel::kTarget), ptx::Target const>);
    static_assert(cluster_of<Kernel>() >= 1 && cluster_of<Kernel>() <= 8, "what every GPU with clusters takes");
    static_assert(cluster_of<Kernel>() == 1 || Kernel::kTarget == ptx::Target::kSm90a, "clusters came with sm_90");
    constexpr int kSharedBytes = std::is_empty_v<Shared> ? 0 : int(sizeof(Shared));
    // What the compiler may give a thread under these launch bounds.
    constexpr int kRegisters = std::min(65536 / (Kernel::kThreads * Kernel::kBlocksPerSm) / 8 * 8, 256);
    auto const run = [](void const* p, void* s) {
        Kernel::run(*static_cast<Params const*>(p), *static_cast<Shared*>(s));
    };
    emulator::launch({kernel_name<Kernel>(), Kernel::kThreads, kSharedBytes, cluster_of<Kernel>(), kRegisters,
                      Kernel::kTarget != ptx::Target::kAny, run},
                     blocks, &params, sizeof(Params));
}

}  // namespace pylayers
