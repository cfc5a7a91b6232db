// Python names for the emulator's own test kernels. No logic here.
#include <pybind11/stl.h>

#include "csrc/runtime.hpp"
#include "emulator/selftest.hpp"

PYBIND11_MODULE(PYLAYERS_MODULE, m) {
    pylayers::bind_runtime(m);
    m.def("device_spec", [] {
        pylayers::DeviceSpec const s = pylayers::device_spec(0);
        return pybind11::make_tuple(s.capability, s.sms, s.shared_bytes);
    });
    m.def("asynchronous_kernels", &pylayers::selftest::asynchronous_kernels);
    m.def("run", [](std::string const& name, std::uintptr_t data, int n, int64_t blocks) {
        pylayers::selftest::run(name, reinterpret_cast<float*>(data), n, blocks);
    });
}
