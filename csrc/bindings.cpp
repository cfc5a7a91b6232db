// Python names for csrc/ops.hpp. No logic here.
#include "csrc/casters.hpp"

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
    py::class_<ConvGeometry>(m, "ConvGeometry", py::module_local()).def(py::init<Sizes, Sizes, Sizes, int64_t>());
    py::class_<PoolGeometry>(m, "PoolGeometry", py::module_local()).def(py::init<Sizes, Sizes, Sizes, Sizes>());
    py::class_<AdamRates>(m, "AdamRates", py::module_local())
        .def(py::init<double, double, double, double, double, bool, bool, BiasCorrection>());
    py::class_<SgdRates>(m, "SgdRates", py::module_local()).def(py::init<double, double, double, double, bool, bool>());
    bind_runtime(m);
    m.def("device_spec", &device_spec);
    m.def("gemm_rows", &gemm_rows);
    m.def("plan_gemm", &plan_gemm);
    m.def("plan_gemm_measured", &plan_gemm_measured);
    m.def("gemm", &gemm);
    m.def("linear", &linear);
    m.def("plan_column_sum", &plan_column_sum);
    m.def("column_sum", &column_sum);
    m.def("conv_forward", &conv_forward);
    m.def("conv_input_gradient", &conv_input_gradient);
    m.def("plan_conv_weight_gradient", &plan_conv_weight_gradient);
    m.def("conv_weight_gradient", &conv_weight_gradient);
    m.def("max_pool_forward", &max_pool_forward);
    m.def("max_pool_backward", &max_pool_backward);
    m.def("activation_forward", &activation_forward);
    m.def("activation_backward", &activation_backward);
    m.def("dropout", &dropout);
    m.def("softmax_forward", &softmax_forward);
    m.def("softmax_backward", &softmax_backward);
    m.def("layer_norm_forward", &layer_norm_forward);
    m.def("layer_norm_backward", &layer_norm_backward);
    m.def("cross_entropy_workspace_bytes", &cross_entropy_workspace_bytes);
    m.def("cross_entropy_forward", &cross_entropy_forward);
    m.def("cross_entropy_backward", &cross_entropy_backward);
    m.def("attention_forward", &attention_forward);
    m.def("attention_backward_workspace_bytes", &attention_backward_workspace_bytes);
    m.def("attention_backward", &attention_backward);
    m.def("tensor_list_bytes", &tensor_list_bytes);
    m.def("adam", &adam);
    m.def("sgd", &sgd);
    m.def("gradient_norm_workspace_bytes", &gradient_norm_workspace_bytes);
    m.def("gradient_norm", &gradient_norm);
}
