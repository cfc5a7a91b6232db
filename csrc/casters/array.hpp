// Arrays cross the Python boundary as Array: fields of NumPy's, attributes of other libraries'.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "csrc/array.hpp"

namespace pylayers {

inline DTypeInfo const& dtype_named(std::string_view name) {
    for (DTypeInfo const& d : kDTypes)
        if (d.name == name) return d;
    throw NotImplemented("array: argument 'dtype': expected a dtype with a kernel, got " + std::string(name));
}

// NumPy dtypes and what they are; the objects met are kept for good, for most arrays share them.
inline std::vector<std::pair<pybind11::handle, DTypeInfo const*>> met_dtypes;

inline DTypeInfo const& dtype_of(pybind11::handle dtype) {
    constexpr size_t kMostMet = 64;
    for (auto const& [object, found] : met_dtypes)
        if (object.is(dtype)) return *found;
    auto const name = dtype.attr("name").cast<std::string>();
    if (!dtype.attr("isnative").cast<bool>())
        throw NotImplemented("array: argument 'dtype': expected native byte order, got another " + name);
    DTypeInfo const& found = dtype_named(name);
    if (met_dtypes.size() < kMostMet) met_dtypes.emplace_back(dtype.inc_ref(), &found);
    return found;
}

inline pybind11::object dtype_object(DType dtype) {
    for (auto const& [object, found] : met_dtypes)
        if (found->dtype == dtype) return pybind11::reinterpret_borrow<pybind11::object>(object);
    return pybind11::module_::import("numpy").attr("dtype")(std::string(info(dtype).name));
}

}  // namespace pylayers

namespace pybind11::detail {

// NumPy's arrays tell their fields; others have what CuPy's have: data.ptr, data.device_id, dtype, shape and strides.
template <> struct type_caster<pylayers::Array> {
    PYBIND11_TYPE_CASTER(pylayers::Array, const_name("Array"));

    bool load(handle source, bool) {
        if (!locate(source, value)) return false;
        if (is_numpy(source)) {
            PyArray_Proxy const& x = *array_proxy(source.ptr());
            begin(x.descr, x.nd);
            for (int i = 0; i < x.nd; ++i) add_axis(i, x.dimensions[i], x.strides[i]);
            return true;
        }
        static PyObject *const kDtype = PyUnicode_InternFromString("dtype"),
                               *const kShape = PyUnicode_InternFromString("shape"),
                               *const kStrides = PyUnicode_InternFromString("strides");
        object const dtype = attribute(source, kDtype), shape = attribute(source, kShape),
                     strides = attribute(source, kStrides);
        if (!dtype || !is_tuple(shape) || !is_tuple(strides)) return false;
        begin(dtype.ptr(), PyTuple_GET_SIZE(shape.ptr()));
        for (int i = 0; i < value.rank; ++i)
            add_axis(i, PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i)),
                     PyLong_AsLongLong(PyTuple_GET_ITEM(strides.ptr(), i)));
        if (PyErr_Occurred()) throw error_already_set();
        return true;
    }

    // Where the memory lies: x.data and x.device. False for what is no array.
    static bool locate(handle source, pylayers::Array& x) {
        if (is_numpy(source)) return x.data = array_proxy(source.ptr())->data, x.device = pylayers::kHost, true;
        static PyObject *const kData = PyUnicode_InternFromString("data"),
                               *const kPtr = PyUnicode_InternFromString("ptr"),
                               *const kDevice = PyUnicode_InternFromString("device_id");
        object const data = attribute(source, kData), pointer = attribute(data, kPtr),
                     device = attribute(data, kDevice);
        if (!pointer || !device) return false;
        x.data = PyLong_AsVoidPtr(pointer.ptr()), x.device = int(PyLong_AsLong(device.ptr()));
        if (PyErr_Occurred()) throw error_already_set();
        return true;
    }

  private:
    static bool is_numpy(handle x) { return npy_api::get().PyArray_Check_(x.ptr()); }

    static object attribute(handle of, PyObject* name) {
        PyObject* const found = of ? PyObject_GetAttr(of.ptr(), name) : nullptr;
        if (!found) PyErr_Clear();
        return reinterpret_steal<object>(found);
    }

    static bool is_tuple(handle x) { return x && PyTuple_Check(x.ptr()); }

    void begin(handle dtype, Py_ssize_t rank) {
        if (rank > pylayers::kMaxRank)
            throw pylayers::NotImplemented("array: expected at most 8 dimensions, got " + std::to_string(rank));
        value.dtype = pylayers::dtype_of(dtype).dtype, value.rank = int(rank);
    }

    void add_axis(int i, int64_t size, int64_t stride) {
        int const bytes = pylayers::info(value.dtype).bytes;
        pylayers::require(size <= 1 || stride % bytes == 0,
                          "array: argument 'strides': expected multiples of the item size, got ", stride);
        value.shape[i] = size;
        value.strides[i] = stride / bytes;
    }
};

template <> struct type_caster<pylayers::DType> {
    PYBIND11_TYPE_CASTER(pylayers::DType, const_name("dtype"));

    bool load(handle source, bool) {
        // A name, or a type of NumPy's, as numpy.dtype takes them.
        value =
            pylayers::dtype_of(isinstance<dtype>(source) ? object(reinterpret_borrow<object>(source))
                                                         : object(dtype::from_args(reinterpret_borrow<object>(source))))
                .dtype;
        return true;
    }
};

}  // namespace pybind11::detail
