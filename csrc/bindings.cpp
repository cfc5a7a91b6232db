// Python names for csrc/ops.hpp. No logic here.
#include "csrc/casters/array.hpp"
#include "csrc/casters/caller.hpp"
#include "csrc/casters/words.hpp"
#include "csrc/ops.hpp"

namespace py = pybind11;
using namespace pylayers;

PYBIND11_MODULE(PYLAYERS_MODULE, m) {
    py::register_exception<NotImplemented>(m, "NotImplemented", PyExc_NotImplementedError);
    py::class_<DeviceSpec>(m, "DeviceSpec", py::module_local())
        .def(py::init<int, int, int64_t, int64_t>())
        .def_readonly("capability", &DeviceSpec::capability)
        .def_readonly("sms", &DeviceSpec::sms)
        .def_readonly("shared_bytes", &DeviceSpec::shared_bytes)
        .def_readonly("l2_bytes", &DeviceSpec::l2_bytes);
    py::class_<Plan>(m, "Plan", py::module_local())
        .def_readonly("variant", &Plan::variant)
        .def_readonly("blocks", &Plan::blocks)
        .def_readonly("workspace_bytes", &Plan::workspace_bytes)
        .def_readonly("index_bits", &Plan::index_bits);
    bind_runtime(m);
    m.def("device_spec", &device_spec);
    m.def("gemm_rows", &gemm_rows);
    m.def("plan_gemm", &plan_gemm);
    m.def("plan_gemm_measured", &plan_gemm_measured);
    std::apply([&](auto... op) { (m.def(op.name, op.launch), ...); }, kOps);
}
