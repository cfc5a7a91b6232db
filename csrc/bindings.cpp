// Python names for csrc/ops.hpp and csrc/variants.hpp. No logic here.
#include "csrc/casters/array.hpp"
#include "csrc/casters/caller.hpp"
#include "csrc/casters/words.hpp"
#include "csrc/ops.hpp"
#include "csrc/variants.hpp"

namespace py = pybind11;
using namespace pylayers;

PYBIND11_MODULE(PYLAYERS_MODULE, m) {
    py::register_exception<NotImplemented>(m, "NotImplemented", PyExc_NotImplementedError);
    py::register_exception<WrongType>(m, "WrongType", PyExc_TypeError);
    py::class_<DeviceSpec>(m, "DeviceSpec", py::module_local())
        .def(py::init<int, int, int64_t>())
        .def_readonly("capability", &DeviceSpec::capability)
        .def_readonly("sms", &DeviceSpec::sms)
        .def_readonly("shared_bytes", &DeviceSpec::shared_bytes);
    py::class_<VariantFacts>(m, "Variant", py::module_local())
        .def_readonly("name", &VariantFacts::name)
        .def_property_readonly("a", [](VariantFacts const& v) { return info(v.a).name; })
        .def_property_readonly("b", [](VariantFacts const& v) { return info(v.b).name; })
        .def_property_readonly("precision", [](VariantFacts const& v) { return word_of(v.precision); })
        .def_readonly("capability", &VariantFacts::capability)
        .def_readonly("tile_m", &VariantFacts::tile_m)
        .def_readonly("tile_n", &VariantFacts::tile_n)
        .def_readonly("tile_k", &VariantFacts::tile_k)
        .def_readonly("stages", &VariantFacts::stages)
        .def_readonly("cluster", &VariantFacts::cluster)
        .def_readonly("shared_bytes", &VariantFacts::shared_bytes);
    py::class_<Plan>(m, "Plan", py::module_local())
        .def_readonly("variant", &Plan::variant)
        .def_readonly("blocks", &Plan::blocks)
        .def_readonly("workspace_bytes", &Plan::workspace_bytes)
        .def_readonly("problem", &Plan::problem);
    bind_runtime(m);
    m.def("device_spec", &device_spec);
    m.def("variants", &variants);
    m.def("plan", &plan, py::arg("family"), py::arg("operands"), py::kw_only(), py::arg("spec"),
          py::arg("variant") = "", py::arg("precision") = "float32", py::arg("column_sums") = false,
          py::arg("measured") = py::none());
    m.def("possible_variants", &possible_variants, py::arg("family"), py::arg("operands"), py::kw_only(),
          py::arg("spec"), py::arg("precision") = "float32");
    std::apply([&](auto... op) { (m.def(op.name, op.launch), ...); }, kOps);
}
