// The door to the device: its properties, its memory, and a record of launches. Two bodies: runtime.cu and the
// emulator's.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace pybind11 {
class module_;
}

namespace pylayers {

// The caller's stream, and the device it belongs to.
struct Stream {
    std::uintptr_t handle = 0;
    int device = 0;
};

struct DeviceSpec {
    int capability = 90;  // major * 10 + minor
    int sms = 132;
    int64_t shared_bytes = 232448;  // the most that a block may ask for
};

// The device a kernel is planned for: the one present, or what `set_device_spec` said (tests plan for others).
DeviceSpec device_spec(int device);

// Whether launches and tensor maps are only noted: tests of the host side without a GPU.
bool recording();

// What the runtime or the driver refuses: CudaError in Python.
struct CudaFailure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The parts of the module that speak of the runtime itself.
void bind_runtime(pybind11::module_& m);

// "GemmSimt<SimtTile{64, 64, 16, 4, 4}, ...>", as the compiler spells the type.
template <class Kernel> constexpr std::string_view kernel_name() {
    std::string_view const s = __PRETTY_FUNCTION__;
    auto const begin = s.find("Kernel = ") + 9;
    return s.substr(begin, s.find_first_of(";]", begin) - begin);
}

}  // namespace pylayers
