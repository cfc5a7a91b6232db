// Words cross the Python boundary as enums, and the rates of an optimizer as named tuples.
#pragma once
#include <pybind11/pybind11.h>

#include "csrc/array.hpp"
#include "kernels/core/enums.hpp"

namespace pylayers {

template <class Enum, size_t N> Enum word(std::string_view text, std::pair<std::string_view, Enum> const (&words)[N]) {
    for (auto const& [name, value] : words)
        if (name == text) return value;
    throw NotImplemented("expected a word that the kernels know, got '" + std::string(text) + "'");
}

template <class Enum> std::string_view word_of(Enum value) {
    for (auto const& [name, other] : words(value))
        if (other == value) return name;
    return {};
}

}  // namespace pylayers

namespace pybind11::detail {

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
template <> struct type_caster<pylayers::Precision> : word_caster<pylayers::Precision> {};
template <> struct type_caster<pylayers::LossInput> : word_caster<pylayers::LossInput> {};
template <> struct type_caster<pylayers::Reduction> : word_caster<pylayers::Reduction> {};
template <> struct type_caster<pylayers::BiasCorrection> : word_caster<pylayers::BiasCorrection> {};

// The rates of an optimizer cross as the tuples of their Python names, field by field.
template <class Rates, class... Fields> struct rates_caster {
    PYBIND11_TYPE_CASTER(Rates, const_name("tuple"));

    bool load(handle source, bool) {
        if (!PyTuple_Check(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != sizeof...(Fields)) return false;
        int i = 0;
        value = Rates{handle(PyTuple_GET_ITEM(source.ptr(), i++)).template cast<Fields>()...};
        return true;
    }
};

template <>
struct type_caster<pylayers::AdamRates>
    : rates_caster<pylayers::AdamRates, double, double, double, double, double, bool, bool, pylayers::BiasCorrection> {
};
template <>
struct type_caster<pylayers::SgdRates> : rates_caster<pylayers::SgdRates, double, double, double, double, bool, bool> {
};

}  // namespace pybind11::detail
