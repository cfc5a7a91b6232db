// The only __global__ of the project and the only way to start it. The emulated build has its own file of this name.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

#include "csrc/runtime.hpp"
#include "kernels/core/kernel.cuh"

namespace pylayers {

// Block size, shared bytes and target follow from the kernel's struct and cannot be written wrong.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocksPerSm)
    entry(__grid_constant__ typename Kernel::Params const params) {
    if constexpr (ptx::compiled_for(Kernel::kTarget))
        Kernel::run(params, ptx::shared_storage<typename Kernel::Shared>());
    else
        ptx::trap();
}

struct Launch {
    void const* entry;
    std::string_view name;
    int64_t blocks;
    int threads;
    int shared_bytes;
    int cluster;  // blocks that run together; the grid is a multiple of it
};

// Starts the kernel with these parameters, or notes the launch where launches are recorded.
void launch(Launch const& what, void** parameters, Stream stream);

template <class Kernel> void launch(int64_t blocks, typename Kernel::Params params, Stream stream) {
    constexpr int kSharedBytes = std::is_empty_v<typename Kernel::Shared> ? 0 : int(sizeof(typename Kernel::Shared));
    constexpr std::string_view kName = kernel_name<Kernel>();
    void* parameters[] = {&params};
    launch({reinterpret_cast<void const*>(&entry<Kernel>), kName, blocks, Kernel::kThreads, kSharedBytes,
            cluster_of<Kernel>()},
           parameters, stream);
}

}  // namespace pylayers
