"""One small adapter for each array library: what a kernel must know of an array, and where new arrays come from.

The functions of this module choose the adapter by the array's type. Tests replace `empty` to poison, pad or fail.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from pylayers import dtypes
from pylayers.arrays import host_memory
from pylayers.errors import expected

Array = Any
# `empty` of the library, the device, and the stream on it: `Caller` of csrc/ops.hpp.
Caller = tuple[Callable[[tuple[int, ...], Any, str], Array], str, tuple[int, int]]


class Library(Protocol):
    """An array library."""

    @property
    def namespace(self) -> Any:
        """The module with the library's functions: numpy, cupy."""

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> Array:
        """New C-contiguous array with any content."""

    def pointer(self, x: Array) -> int:
        """Where the first element lies."""

    def device(self, x: Array) -> str:
        """``"cpu"`` or ``"cuda:0"``."""

    def stream(self, device: str) -> tuple[int, int]:
        """The caller's current stream on the device and the device's number, as `csrc/runtime.hpp` takes them."""

    def caller(self, x: Array) -> Caller:
        """What a launcher that allocates its results beside x is told: how, where, and the stream."""


class NumpyLibrary:
    """Host memory."""

    namespace = np
    empty = staticmethod(host_memory.empty)

    def pointer(self, x: Array) -> int:
        return x.__array_interface__["data"][0]

    def device(self, x: Array) -> str:
        return "cpu"

    def stream(self, device: str) -> tuple[int, int]:
        return 0, 0

    def caller(self, x: Array) -> Caller:
        return self.empty, "cpu", (0, 0)


# CuPy makes no arrays of these; of others' memory it has views.
VIEWED = {dtype: np.dtype(np.uint8) for dtype in (dtypes.float8_e4m3fn, dtypes.float8_e5m2)}


class CupyLibrary:
    """GPU memory, from CuPy's pool and on CuPy's current stream."""

    def __init__(self) -> None:
        import cupy

        self.namespace = cupy
        self.new, self.on = cupy.empty, cupy.cuda.Device
        self.current_device, self.current_stream = cupy.cuda.runtime.getDevice, cupy.cuda.get_current_stream

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> Array:
        number = device_numbers[device]
        if dtype in VIEWED:
            return self.empty(shape, VIEWED[dtype], device).view(dtype)
        if self.current_device() == number:
            return self.new(shape, dtype)
        with self.on(number):
            return self.new(shape, dtype)

    def pointer(self, x: Array) -> int:
        return x.data.ptr

    def device(self, x: Array) -> str:
        return device_names[x.data.device_id]

    def stream(self, device: str) -> tuple[int, int]:
        number = device_numbers[device]
        return self.current_stream(number).ptr, number

    def caller(self, x: Array) -> Caller:
        number = x.data.device_id
        return self.empty, device_names[number], (self.current_stream(number).ptr, number)


numpy_library = NumpyLibrary()
libraries: dict[type, Library] = {np.ndarray: numpy_library}  # by the type of the array, as they are met


class DtypeNames(dict[np.dtype[Any], str]):
    """``dtype.name`` of each dtype, which NumPy composes anew each time."""

    def __missing__(self, dtype: np.dtype[Any]) -> str:
        return dtype.name


dtype_names = DtypeNames({dtype: dtype.name for dtype in dtypes.SUPPORTED})


class DeviceNames(dict[int, str]):
    """``"cuda:<number>"`` of each number."""

    def __missing__(self, number: int) -> str:
        return self.setdefault(number, f"cuda:{number}")


class DeviceNumbers(dict[str, int]):
    """1 for ``"cuda:1"``, 0 for ``"cuda"``."""

    def __missing__(self, device: str) -> int:
        return self.setdefault(device, int(device.partition(":")[2] or 0))


device_names, device_numbers = DeviceNames(), DeviceNumbers()


@functools.cache
def cupy_library() -> CupyLibrary:
    """CuPy's adapter; ModuleNotFoundError naming the extra when CuPy is not installed."""
    try:
        return CupyLibrary()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pylayers: arrays in GPU memory need CuPy: pip install 'pylayers[cuda13]'", name="cupy"
        ) from error


def library(x: Array) -> Library:
    """The adapter for this array; TypeError for what is not an array of a known library."""
    found = libraries.get(type(x))
    if found is None:
        if not is_array(x):
            raise expected("arrays", "x", "a NumPy or CuPy array", type(x).__name__, error=TypeError)
        found = libraries[type(x)]
    return found


def is_array(x: object) -> bool:
    """Whether `x` is an array of a library that `library` knows."""
    kind = type(x)
    if kind in libraries:
        return True
    cupy = sys.modules.get("cupy")
    if isinstance(x, (np.ndarray, np.generic)):
        libraries[kind] = numpy_library
    elif cupy is not None and isinstance(x, cupy.ndarray):
        libraries[kind] = cupy_library()
    return kind in libraries


def library_of(device: str) -> Library:
    """The adapter that makes arrays on ``"cpu"``, ``"cuda"`` or ``"cuda:<number>"``."""
    kind, _, number = device.partition(":")
    if device == "cpu":
        return numpy_library
    if kind == "cuda" and (number.isdecimal() or device == "cuda"):
        return cupy_library()
    raise expected("device", "device", "'cpu', 'cuda' or 'cuda:<number>'", repr(device))


def device(x: Array) -> str:
    """Where the array lies: ``"cpu"`` or ``"cuda:<number>"``."""
    return library(x).device(x)


def namespace(x: Array) -> Any:
    """The module with the array's functions, numpy or cupy."""
    return library(x).namespace


def memory_order(x: Array) -> tuple[int, ...]:
    """The axes of x from the slowest in memory to the fastest; in C order where there are no elements."""
    if x.size == 0:
        return tuple(range(x.ndim))
    strides, long = [abs(s) for s in x.strides], [a for a in range(x.ndim) if x.shape[a] != 1]
    order = sorted(range(x.ndim), key=lambda a: (-strides[a], x.shape[a] == 1, a))
    if [a for a in order if a in long] != long:
        return tuple(order)
    # The others have one element, whose stride means nothing, except the one that says channels last: the smallest.
    fastest = min((strides[a] for a in long), default=0)
    last = [a for a in range(max(long, default=0)) if a not in long and strides[a] <= fastest]
    return (*(a for a in range(x.ndim) if a not in last), *last)


def empty_like(x: Array, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array:
    """A new dense array on the device of x, of another shape or dtype if given.

    With the rank of x it keeps the memory order of x (a channels-last image gives a channels-last image).
    """
    home = library(x)
    shape = tuple(x.shape if shape is None else shape)
    dtype = x.dtype if dtype is None else dtype
    order = memory_order(x) if len(shape) == x.ndim else tuple(range(len(shape)))
    dense = home.empty(tuple(shape[axis] for axis in order), dtype, home.device(x))
    return dense.transpose(np.argsort(order)) if order != tuple(range(len(order))) else dense


def folded(x: Array) -> Array:
    """(..., m, k) -> (prod * m, k)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def foldable(x: Array) -> bool:
    """Whether the axes of x (..., m, k) before the last have one common stride, so that `folded` is a view."""
    shape, strides = x.shape, x.strides
    axes = [axis for axis in range(x.ndim - 1) if shape[axis] != 1]
    return all(strides[i] == shape[j] * strides[j] for i, j in zip(axes, axes[1:]))
