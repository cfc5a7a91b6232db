// Bytes of tests on the emulator, its rounding, and the layouts as functions of Python.
#include "emulator/matrix.hpp"
#include "ptx/device.hpp"

namespace pylayers::instruction {

DeviceBytes::DeviceBytes(std::byte* host, int64_t bytes) : host_(host), data_(host), bytes_(bytes) {}
DeviceBytes::~DeviceBytes() = default;
void DeviceBytes::take_back() {}

void bind_device(pybind11::module_& m) {
    namespace py = pybind11;
    m.def("truncate", [](bool on) { emulator::matrix::truncating = on; });
    auto const position = [](layout::Position p) { return py::make_tuple(p.row, p.column); };
    m.def("mma_a", [=](int lane, int r) { return position(layout::mma_a(lane, r)); });
    m.def("mma_b", [=](int lane, int r) { return position(layout::mma_b(lane, r)); });
    m.def("mma_d", [=](int lane, int i) { return position(layout::mma_d(lane, i)); });
    m.def("wgmma_d", [=](int thread, int i) { return position(layout::wgmma_d(thread, i)); });
    m.def("ldmatrix", [=](int lane) { return position(layout::ldmatrix(lane)); });
    m.def("swizzled", [](int span, int byte) { return layout::swizzled(layout::Swizzle(span), byte); });
    m.def("matrix_descriptor", [](int span, uint32_t address, int leading_bytes, int stride_bytes) {
        using layout::matrix_descriptor, layout::Swizzle;
        return span == 128  ? matrix_descriptor<Swizzle::k128>(address, leading_bytes, stride_bytes)
               : span == 64 ? matrix_descriptor<Swizzle::k64>(address, leading_bytes, stride_bytes)
               : span == 32 ? matrix_descriptor<Swizzle::k32>(address, leading_bytes, stride_bytes)
                            : matrix_descriptor<Swizzle::kNone>(address, leading_bytes, stride_bytes);
    });
    m.def("operand_address", [](uint64_t descriptor, bool along_mn, int row, int k) {
        return layout::operand_address(layout::operand(descriptor), along_mn ? ptx::Major::kMn : ptx::Major::kK, row,
                                       k);
    });
    m.def("operand_complaint", [](uint64_t descriptor, int element_bytes, bool along_mn, int rows) {
        using emulator::matrix::Type;
        auto const type = element_bytes == 4 ? Type::kTf32 : element_bytes == 2 ? Type::kBf16 : Type::kE4m3;
        return emulator::matrix::complaint(descriptor, type, along_mn ? ptx::Major::kMn : ptx::Major::kK, rows);
    });
}

}  // namespace pylayers::instruction
