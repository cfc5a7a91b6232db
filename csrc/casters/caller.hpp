// Who calls an op crosses the Python boundary as Caller: where new arrays come from, and (handle, device) as Stream.
#pragma once
#include "csrc/casters/array.hpp"
#include "csrc/ops/caller.hpp"

namespace pybind11::detail {

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

// (empty, device, stream) or with a variant behind: empty(shape, dtype, device) gives a C-contiguous array, kept until
// the call is over.
template <> struct type_caster<pylayers::Caller> {
    PYBIND11_TYPE_CASTER(pylayers::Caller, const_name("tuple[Callable[..., Array], str, tuple[int, int]]"));

    bool load(handle source, bool convert) {
        if (!PyTuple_Check(source.ptr())) return false;
        Py_ssize_t const size = PyTuple_GET_SIZE(source.ptr());
        make_caster<pylayers::Stream> stream;
        if (size < 3 || size > 4 || !stream.load(PyTuple_GET_ITEM(source.ptr(), 2), convert)) return false;
        function_ = PyTuple_GET_ITEM(source.ptr(), 0), device_ = PyTuple_GET_ITEM(source.ptr(), 1);
        value = {allocate, this, cast_op<pylayers::Stream>(stream)};
        if (size == 4) value.variant = handle(PyTuple_GET_ITEM(source.ptr(), 3)).cast<std::string>();
        return true;
    }

  private:
    // `order`: the axes from the slowest in memory to the fastest, or null for those of C.
    static pylayers::NewArray allocate(void* self, pylayers::Array const& like, int const* order) {
        auto& caster = *static_cast<type_caster*>(self);
        bool const in_order = !order || std::is_sorted(order, order + like.rank);
        tuple shape(like.rank);
        for (int i = 0; i < like.rank; ++i)
            PyTuple_SET_ITEM(shape.ptr(), i, PyLong_FromLongLong(like.shape[in_order ? i : order[i]]));
        object const dtype = pylayers::dtype_object(like.dtype);
        PyObject* const arguments[] = {shape.ptr(), dtype.ptr(), caster.device_.ptr()};
        object made = reinterpret_steal<object>(PyObject_Vectorcall(caster.function_.ptr(), arguments, 3, nullptr));
        if (!made) throw error_already_set();
        if (!in_order) {
            tuple back(like.rank);
            for (int i = 0; i < like.rank; ++i) PyTuple_SET_ITEM(back.ptr(), order[i], PyLong_FromLong(i));
            made = made.attr("transpose")(back);
        }
        pylayers::NewArray result{like, made.ptr()};
        if (!make_caster<pylayers::Array>::locate(made, result))
            throw type_error("empty: expected an array, got " + std::string(Py_TYPE(made.ptr())->tp_name));
        caster.kept_.push_back(std::move(made));
        return result;
    }

    handle function_, device_;
    std::vector<object> kept_;
};

// The array that the caller's library made.
template <> struct type_caster<pylayers::NewArray> {
    static constexpr auto name = const_name("Array");
    static handle cast(pylayers::NewArray const& x, return_value_policy, handle) {
        return handle(static_cast<PyObject*>(x.object)).inc_ref();
    }
};

}  // namespace pybind11::detail
