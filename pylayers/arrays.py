"""One small adapter for each array library: what a kernel must know of an array, and where new arrays come from.

The functions of this module choose the adapter by the array's type. Tests replace `empty` to poison, pad or fail.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Protocol

import numpy as np

from pylayers import host_memory
from pylayers.errors import expected

Array = Any
Address = tuple[int, str, tuple[int, ...], tuple[int, ...]]  # pointer, dtype name, shape, strides in bytes


class Library(Protocol):
    """An array library."""

    @property
    def namespace(self) -> Any:
        """The module with the library's functions: numpy, cupy."""

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> Array:
        """New C-contiguous array with any content."""

    def address(self, x: Array) -> Address:
        """Where the array lies and how, for `csrc/array.hpp`."""

    def device(self, x: Array) -> str:
        """``"cpu"`` or ``"cuda:0"``."""

    def stream(self, device: str) -> tuple[int, int]:
        """The caller's current stream on the device and the device's number, as `csrc/runtime.hpp` takes them."""


class NumpyLibrary:
    """Host memory."""

    namespace = np

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> Array:
        return host_memory.empty(shape, dtype)

    def address(self, x: Array) -> Address:
        return x.__array_interface__["data"][0], x.dtype.name, x.shape, x.strides

    def device(self, x: Array) -> str:
        return "cpu"

    def stream(self, device: str) -> tuple[int, int]:
        return 0, 0


class CupyLibrary:
    """GPU memory, from CuPy's pool and on CuPy's current stream."""

    def __init__(self) -> None:
        import cupy

        self.namespace = cupy

    def empty(self, shape: tuple[int, ...], dtype: Any, device: str) -> Array:
        with self.namespace.cuda.Device(int(device.partition(":")[2] or 0)):
            return self.namespace.empty(shape, dtype)

    def address(self, x: Array) -> Address:
        return x.data.ptr, x.dtype.name, x.shape, x.strides

    def device(self, x: Array) -> str:
        return f"cuda:{x.device.id}"

    def stream(self, device: str) -> tuple[int, int]:
        number = int(device.partition(":")[2] or 0)
        with self.namespace.cuda.Device(number):
            return self.namespace.cuda.get_current_stream().ptr, number


numpy_library = NumpyLibrary()


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
    if isinstance(x, (np.ndarray, np.generic)):
        return numpy_library
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy_library()
    raise expected("arrays", "x", "a NumPy or CuPy array", type(x).__name__, error=TypeError)


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


def is_array(x: object) -> bool:
    """Whether `x` is an array of a library that `library` knows."""
    cupy = sys.modules.get("cupy")
    return isinstance(x, (np.ndarray, np.generic)) or (cupy is not None and isinstance(x, cupy.ndarray))


def memory_order(x: Array) -> tuple[int, ...]:
    """The axes of x from the slowest in memory to the fastest."""
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
