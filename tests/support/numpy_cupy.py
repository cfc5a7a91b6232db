"""A CuPy made of NumPy: what tests and benchmarks ask of one, so that their GPU half runs where no GPU is.

It refuses what CuPy 14.2 refuses, in its words: host arrays in assignments and arithmetic, and float8 but as a view.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from pylayers import arrays

UNSUPPORTED = ("float8_e4m3fn", "float8_e5m2")


class Pointer:
    """Where an array of the GPU lies."""

    device_id = 0

    def __init__(self, x: np.ndarray) -> None:
        self._x, self.ptr = x, x.__array_interface__["data"][0]

    def memset(self, value: int, size: int) -> None:
        assert size == self._x.nbytes and self._x.flags.c_contiguous
        np.asarray(self._x).reshape(-1).view(np.uint8)[...] = value


class Array(np.ndarray):
    """An array of the GPU: it does not mix with those of the host."""

    @property
    def data(self) -> Any:
        return Pointer(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, Array) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        super().__setitem__(key, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, np.ndarray) and not isinstance(x, Array) and x.ndim for x in inputs):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        out = options.pop("out", ())
        options |= {"out": tuple(map(plain, out))} if out else {}
        result = getattr(ufunc, method)(*map(plain, inputs), **options)
        return out[0] if out else asarray(result)

    def get(self) -> np.ndarray:
        if not self.flags.c_contiguous:
            supported(self.dtype)
        return np.array(self, subok=False)

    def set(self, host: np.ndarray) -> None:
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        super().__setitem__(..., host)


def plain(x: Any) -> Any:
    """The same memory as NumPy's own array."""
    return x.view(np.ndarray) if isinstance(x, Array) else x


def supported(dtype: Any) -> None:
    """ValueError for what CuPy has no kernels for."""
    if np.dtype(dtype).name in UNSUPPORTED:
        raise ValueError(f"Unsupported dtype {np.dtype(dtype).name}")


def empty(shape: Any, dtype: Any = np.float32) -> Array:
    """Of a dtype that CuPy knows."""
    supported(dtype)
    return np.empty(shape, dtype).view(Array)


def empty_like(x: Array) -> Array:
    """As `empty`."""
    supported(x.dtype)
    return np.empty_like(x)


def zeros(shape: Any, dtype: Any = np.float32) -> Array:
    """As `empty`, filled."""
    x = empty(shape, dtype)
    x[...] = 0
    return x


def asarray(x: Any) -> Array:
    """The host's numbers on the GPU."""
    return x if isinstance(x, Array) else np.array(x).view(Array)


class Event:
    """A point in time."""

    def record(self, stream: Any) -> None:
        self.seconds = time.perf_counter()


class Stream(contextlib.nullcontext[None]):
    """Work is done when it is given."""

    ptr = 4711

    def __init__(self, non_blocking: bool) -> None:
        super().__init__()
        assert non_blocking


class MemoryHook:
    """What cupy.cuda.MemoryHook is derived from."""

    def __enter__(self) -> Any:
        self.malloc_postprocess(device_id=0, size=500, mem_size=512, mem_ptr=1, pmem_id=1)
        self.free_postprocess(device_id=0, mem_size=512, mem_ptr=1, pmem_id=1)
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def malloc_postprocess(self, **about: Any) -> None:
        raise AssertionError("the hook counts for itself")

    free_postprocess = malloc_postprocess


class Generator:
    """cupy.random.Generator takes its dtype by name."""

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)

    def standard_normal(self, size: Any, *, dtype: Any) -> Array:
        return self.numbers.standard_normal(size, dtype).view(Array)

    def integers(self, low: int, high: int, size: Any, *, dtype: Any) -> Array:
        return self.numbers.integers(low, high, size, dtype).view(Array)


class RawKernel:
    """Checks what it is launched with."""

    def __init__(self, source: str, name: str) -> None:
        assert f"void {name}(long long" in source

    def __call__(self, grid: Any, block: Any, arguments: Any, *, stream: Stream) -> None:
        assert grid == block == (1,) and isinstance(arguments[0], np.int64) and 0 < arguments[0] < 1e9


def cupy() -> Any:
    """The module."""
    found: Any = types.ModuleType("cupy")
    found.ndarray, found.empty, found.empty_like, found.asarray = Array, empty, empty_like, asarray
    found.zeros = zeros
    found.matmul, found.copyto = np.matmul, np.copyto
    as_strided = functools.partial(np.lib.stride_tricks.as_strided, subok=True)
    found.lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=as_strided))
    found.__version__ = "14.2"
    found.from_dlpack = lambda x: np.from_dlpack(x).view(Array)
    found.random = types.SimpleNamespace(default_rng=Generator)
    found.RawKernel = RawKernel
    found.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: None)
    properties = {"l2CacheSize": 1 << 14, "name": b"GPU of NumPy", "multiProcessorCount": 2, "totalGlobalMem": 1 << 30}
    runtime = types.SimpleNamespace(
        getDevice=lambda: 0, getDeviceProperties=lambda number: properties, deviceSynchronize=lambda: None,
        memGetInfo=lambda: (1 << 30, 1 << 31), deviceGetPCIBusId=lambda number: "0000:01:00.0",
        runtimeGetVersion=lambda: 13000, driverGetVersion=lambda: 13000,
    )  # fmt: skip
    found.cuda = types.SimpleNamespace(
        Event=Event, Stream=Stream, MemoryHook=MemoryHook, runtime=runtime, Device=contextlib.nullcontext,
        get_current_stream=lambda device: types.SimpleNamespace(ptr=0),
        get_elapsed_time=lambda start, end: (end.seconds - start.seconds) * 1e3,
    )  # fmt: skip
    return found


@contextlib.contextmanager
def installed() -> Iterator[Any]:
    """Puts it in the place of CuPy, for `pylayers.arrays` too; yields the module."""
    module = cupy()
    places = {"cupy": module, "cupy.cuda": module.cuda}
    before = {name: sys.modules.get(name) for name in places}
    sys.modules.update(places)
    arrays.cupy_library.cache_clear()
    arrays.libraries[Array] = arrays.cupy_library()
    try:
        yield module
    finally:
        arrays.libraries.pop(Array, None)
        arrays.cupy_library.cache_clear()
        for name, found in before.items():
            if found is None:
                del sys.modules[name]
            else:
                sys.modules[name] = found
