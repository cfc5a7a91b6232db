// What crosses the Python boundary: (pointer, dtype, shape, strides in bytes) as Array, (handle, device) as Stream,
// words as enums.
#pragma once
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "csrc/array.hpp"
#include "csrc/ops.hpp"
#include "csrc/runtime.hpp"

namespace pylayers {

inline DTypeInfo const& dtype_named(std::string_view name) {
    for (DTypeInfo const& d : kDTypes)
        if (d.name == name) return d;
    throw NotImplemented("array: argument 'dtype': expected a dtype with a kernel, got " + std::string(name));
}

template <class Enum, size_t N> Enum word(std::string_view text, std::pair<std::string_view, Enum> const (&words)[N]) {
    for (auto const& [name, value] : words)
        if (name == text) return value;
    throw NotImplemented("expected a word that the kernels know, got '" + std::string(text) + "'");
}

}  // namespace pylayers

namespace pybind11::detail {

template <> struct type_caster<pylayers::Array> {
    PYBIND11_TYPE_CASTER(pylayers::Array, const_name("Address"));

    bool load(handle source, bool) {
        if (!PyTuple_Check(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != 4) return false;
        auto item = [&](int i) { return handle(PyTuple_GET_ITEM(source.ptr(), i)); };
        handle const shape = item(2), strides = item(3);
        Py_ssize_t length = 0;
        char const* const name = PyUnicode_AsUTF8AndSize(item(1).ptr(), &length);
        if (!name || !PyTuple_Check(shape.ptr()) || !PyTuple_Check(strides.ptr())) return false;
        pylayers::DTypeInfo const& d = pylayers::dtype_named({name, size_t(length)});
        value.dtype = d.dtype;
        value.data = PyLong_AsVoidPtr(item(0).ptr());
        Py_ssize_t const rank = PyTuple_GET_SIZE(shape.ptr());
        if (rank > pylayers::kMaxRank)
            throw pylayers::NotImplemented("array: expected at most 8 dimensions, got " + std::to_string(rank));
        value.rank = int(rank);
        for (Py_ssize_t i = 0; i < rank; ++i) {
            int64_t const stride = PyLong_AsLongLong(PyTuple_GET_ITEM(strides.ptr(), i));
            value.shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i));
            value.strides[i] = stride / d.bytes;
            pylayers::require(
                value.shape[i] <= 1 || stride % d.bytes == 0,
                "array: argument 'strides': expected multiples of the item size, got " + std::to_string(stride));
        }
        if (PyErr_Occurred()) throw error_already_set();
        return true;
    }
};

template <> struct type_caster<pylayers::Stream> {
    PYBIND11_TYPE_CASTER(pylayers::Stream, const_name("tuple[int, int]"));

    bool load(handle source, bool) {
        if (!PyTuple_Check(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != 2) return false;
        value.handle = reinterpret_cast<std::uintptr_t>(PyLong_AsVoidPtr(PyTuple_GET_ITEM(source.ptr(), 0)));
        value.device = int(PyLong_AsLong(PyTuple_GET_ITEM(source.ptr(), 1)));
        if (PyErr_Occurred()) throw error_already_set();
        return true;
    }
};

// An enum crosses as its word; None is its first word where that is "none".
template <class Enum> struct word_caster {
    PYBIND11_TYPE_CASTER(Enum, const_name("str"));

    bool load(handle source, bool) {
        if (source.is_none()) return value = pylayers::word("none", pylayers::words(Enum{})), true;
        Py_ssize_t length = 0;
        if (!PyUnicode_Check(source.ptr())) return false;
        char const* const text = PyUnicode_AsUTF8AndSize(source.ptr(), &length);
        value = pylayers::word({text, size_t(length)}, pylayers::words(Enum{}));
        return true;
    }
};

template <> struct type_caster<pylayers::Activation> : word_caster<pylayers::Activation> {};
template <> struct type_caster<pylayers::LossInput> : word_caster<pylayers::LossInput> {};
template <> struct type_caster<pylayers::Reduction> : word_caster<pylayers::Reduction> {};
template <> struct type_caster<pylayers::BiasCorrection> : word_caster<pylayers::BiasCorrection> {};

}  // namespace pybind11::detail
