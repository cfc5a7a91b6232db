// Bytes of tests on a GPU.
#include <cuda_runtime.h>

#include "csrc/runtime.hpp"
#include "ptx/device.hpp"

namespace pylayers::instruction {
namespace {

void check(cudaError_t error, char const* call) {
    if (error != cudaSuccess) throw CudaFailure(std::string(call) + " failed: " + cudaGetErrorString(error));
}

}  // namespace

DeviceBytes::DeviceBytes(std::byte* host, int64_t bytes) : host_(host), bytes_(bytes) {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), size_t(bytes + 1)), "cudaMalloc");
    check(cudaMemcpy(data_, host, size_t(bytes), cudaMemcpyHostToDevice), "cudaMemcpy");
}
DeviceBytes::~DeviceBytes() { cudaFree(data_); }

void DeviceBytes::take_back() {
    check(cudaDeviceSynchronize(), "a kernel");
    check(cudaMemcpy(host_, data_, size_t(bytes_), cudaMemcpyDeviceToHost), "cudaMemcpy");
}

void bind_device(pybind11::module_&) {}

}  // namespace pylayers::instruction
