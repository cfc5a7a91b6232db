// The module _ptx: runs a kernel by name, and what the host knows of tensor maps.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>

#include "csrc/casters/array.hpp"
#include "csrc/tensor_map.hpp"
#include "ptx/device.hpp"
#include "ptx/kernel.hpp"

namespace pylayers::instruction {
namespace {

namespace py = pybind11;

Kernels const& kernels() {
    static Kernels const all = [] {
        Kernels k;
        for (auto const add : {add_thread_kernels, add_matrix_kernels, add_copy_kernels, add_cluster_kernels,
                               add_wgmma_kernels, add_wgmma_sizes})
            add(k);
        return k;
    }();
    return all;
}

template <class T, size_t N> void fill(std::array<T, N>& to, py::dict const& words, char const* name) {
    if (!words.contains(name)) return;
    auto const values = words[name].cast<std::vector<T>>();
    require(values.size() <= N, std::string(name) + ": too many dimensions");
    std::copy(values.begin(), values.end(), to.begin());
}
template <class T> void fill(T& to, py::dict const& words, char const* name) {
    if (words.contains(name)) to = words[name].cast<T>();
}

// {"dtype": "float32", "sizes": [...], ...}: the fields of TensorMapSpec; data is an address.
TensorMapSpec spec_of(py::dict const& words) {
    TensorMapSpec spec;
    spec.dtype = dtype_named(words["dtype"].cast<std::string>()).dtype;
    std::uintptr_t data = 0;
    fill(data, words, "data");
    spec.data = reinterpret_cast<void const*>(data);
    fill(spec.rank, words, "rank");
    fill(spec.tf32, words, "tf32");
    fill(spec.im2col, words, "im2col");
    fill(spec.swizzle_bytes, words, "swizzle_bytes");
    fill(spec.sizes, words, "sizes");
    fill(spec.strides, words, "strides");
    fill(spec.box, words, "box");
    fill(spec.element_strides, words, "element_strides");
    fill(spec.lower, words, "lower");
    fill(spec.upper, words, "upper");
    return spec;
}

// `map` describes the tensor that begins `offset` bytes into in, or into out where `map_of_out`.
void run(std::string const& name, py::buffer const& in, py::buffer const& out, std::vector<int> const& numbers,
         std::optional<py::dict> const& map, bool map_of_out, int64_t offset, int64_t blocks) {
    auto const found = kernels().find(name);
    require(found != kernels().end(), "run: argument 'name': expected a kernel, got " + name);
    py::buffer_info const from = in.request(), to = out.request(true);
    DeviceBytes source(static_cast<std::byte*>(from.ptr), from.size * from.itemsize);
    DeviceBytes target(static_cast<std::byte*>(to.ptr), to.size * to.itemsize);
    Arguments arguments{source.data(), target.data()};
    require(numbers.size() <= std::size(arguments.n), "run: too many numbers");
    std::copy(numbers.begin(), numbers.end(), arguments.n);
    if (map) {
        TensorMapSpec spec = spec_of(*map);
        spec.data = (map_of_out ? target : source).data() + offset;
        arguments.map = tensor_map(spec);
    }
    found->second(blocks, arguments, Stream{});
    target.take_back();
}

// Nanoseconds of a call that finds the map in the cache.
double time_tensor_map(py::dict const& words, int calls) {
    TensorMapSpec const spec = spec_of(words);
    ptx::TensorMap volatile map = tensor_map(spec);
    auto const begin = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) const_cast<ptx::TensorMap&>(map) = tensor_map(spec);
    std::chrono::duration<double, std::nano> const took = std::chrono::steady_clock::now() - begin;
    return took.count() / calls;
}

}  // namespace
}  // namespace pylayers::instruction

PYBIND11_MODULE(_ptx, m) {
    using namespace pylayers;
    using namespace pylayers::instruction;
    py::register_exception_translator([](std::exception_ptr p) {
        try {
            if (p) std::rethrow_exception(p);
        } catch (NotImplemented const& e) {
            PyErr_SetString(PyExc_NotImplementedError, e.what());
        }
    });
    bind_runtime(m);
    bind_device(m);
    m.def("run", &run);
    m.def("kernels", [] {
        py::list names;
        for (auto const& [name, start] : kernels()) names.append(name);
        return names;
    });
    m.def("why_not_addressable", [](py::dict const& words) { return why_not_addressable(spec_of(words)); });
    m.def("tensor_map", [](py::dict const& words) {
        auto const map = tensor_map(spec_of(words));
        return py::bytes(reinterpret_cast<char const*>(&map), sizeof map);
    });
    m.def("encoded_tensor_maps", &encoded_tensor_maps);
    m.def("time_tensor_map", &time_tensor_map);
}
