// Where a kernel's bytes lie: the emulator takes the host's, a GPU has its own.
#pragma once
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

namespace pylayers::instruction {

// Host bytes where a kernel can reach them.
class DeviceBytes {
  public:
    DeviceBytes(std::byte* host, int64_t bytes);
    ~DeviceBytes();
    DeviceBytes(DeviceBytes const&) = delete;

    std::byte* data() const { return data_; }
    // Once all kernels are done, what they wrote, to the host.
    void take_back();

  private:
    std::byte *host_, *data_;
    int64_t bytes_;
};

// What only one of the two bodies offers to tests.
void bind_device(pybind11::module_& m);

}  // namespace pylayers::instruction
