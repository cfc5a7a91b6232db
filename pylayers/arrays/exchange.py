"""Arrays of any library into functions of NumPy and CuPy arrays, and the results back as arrays of that library.

torch tensors enter on their own memory and results lie in memory of torch's allocator. Everything else enters by DLPack
or ``__cuda_array_interface__`` without a copy, and goes back by its library's own ``from_dlpack``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from pylayers import arrays
from pylayers.arrays import host_memory, torch_tensors
from pylayers.errors import expected

Array = Any
Back = Callable[[Any], Any]  # from a NumPy or CuPy array (or a TorchArray) to the caller's kind
F = TypeVar("F", bound=Callable[..., Any])

HOST = 1  # kDLCPU
# Types of arguments that need no look; those of NumPy and CuPy arrays join as they are met.
NATIVE: set[type] = {np.ndarray, int, float, bool, str, type(None), np.dtype}


def entered(op: str, x: Any) -> tuple[Any, Back | None]:
    """x as a NumPy or CuPy array (or TorchArray) on the same memory and the way back; itself and None if it is none.

    TypeError for a torch tensor that requires grad, whose history would be lost, and for what DLPack cannot carry.
    """
    if torch_tensors.is_tensor(x):
        torch_tensors.check(op, x)
        if x.device.type == "cpu":
            return torch_tensors.host_view(x), torch_tensors.host_tensor
        return torch_tensors.TorchArray(x), torch_tensors.unwrapped
    if type(x).__module__.startswith("pylayers."):  # a Tensor belongs to functional
        return x, None
    if hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__"):
        home = np if x.__dlpack_device__()[0] == HOST else arrays.cupy_library().namespace
        try:
            return home.from_dlpack(x), functools.partial(_exported, _importer(x))
        except (BufferError, RuntimeError) as error:
            raise expected(op, "x", "an array that DLPack can carry", f"{type(x).__name__}: {error}",
                           error=TypeError) from error  # fmt: skip
    if hasattr(x, "__cuda_array_interface__"):
        return arrays.cupy_library().namespace.asarray(x), _unchanged
    return x, None


def _importer(x: Any) -> Back | None:
    """``from_dlpack`` of the library of x, if it has one."""
    if hasattr(x, "__array_namespace__"):
        return getattr(x.__array_namespace__(), "from_dlpack", None)
    return getattr(sys.modules.get(type(x).__module__.partition(".")[0]), "from_dlpack", None)


def _exported(importer: Back | None, y: Array) -> Any:
    return y if importer is None else importer(np.asarray(y) if isinstance(y, np.generic) else y)


def _unchanged(y: Array) -> Array:
    return y


def open_to_all(function: F, changes: frozenset[str] = frozenset()) -> F:
    """The function for arrays of any library, also inside lists and tuples; results are of the first foreign one.

    `changes` are the arguments that it changes in place; torch is told. TypeError for GPU arrays of two libraries,
    whose streams differ.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not kwargs:
            for x in args:  # quicker than a generator or map
                if type(x) not in NATIVE:
                    break
            else:
                return function(*args)
        elif NATIVE.issuperset(map(type, (*args, *kwargs.values()))):
            return function(*args, **kwargs)
        result = _exchange(function, args, kwargs)
        if changes and "torch" in sys.modules:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            torch_tensors.note_changes([given[name] for name in changes if name in given])
        return result

    return cast(F, run)


def _exchange(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    backs: list[Back] = []
    kinds: set[type] = set()

    def enter(x: Any) -> Any:
        kind = type(x)
        if kind in NATIVE:
            return x
        if arrays.is_array(x):
            NATIVE.add(kind)
            return x
        array, back = entered(function.__name__, x)
        if back is not None:
            backs.append(back)
        return array

    args, kwargs = _each(enter, args), {name: _each(enter, value) for name, value in kwargs.items()}
    if not backs:
        return function(*args, **kwargs)
    _each(lambda x: kinds.add(type(x)) if arrays.is_array(x) else None, (args, *kwargs.values()))
    others = [kind for kind in kinds if arrays.libraries[kind] is not arrays.numpy_library]
    if len(others) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in others))
        raise expected(function.__name__, "x", "GPU arrays of one library, which has one stream", names,
                       error=TypeError)  # fmt: skip
    with host_memory.allocated_by(torch_tensors.host_empty if backs[0] is torch_tensors.host_tensor else None):
        result = function(*args, **kwargs)
    return _each(lambda y: backs[0](y) if arrays.is_array(y) else y, result)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """`change` of the value, or of each item where it is a list, a tuple or a dataclass."""
    kind = type(value)
    if kind is list or kind is tuple:
        return kind([_each(change, item) for item in cast(Sequence[Any], value)])
    if isinstance(value, tuple):
        return kind(*(_each(change, item) for item in value))
    if dataclasses.is_dataclass(kind):
        items = {field.name: _each(change, getattr(value, field.name)) for field in dataclasses.fields(kind)}
        return kind(**items)
    return change(value)
