"""A CuPy made of NumPy: what the benchmarks ask of one, so that their GPU half runs where no GPU is."""

from __future__ import annotations

import contextlib
import time
import types
from typing import Any

import numpy as np


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

    def standard_normal(self, size: Any, *, dtype: Any) -> np.ndarray:
        return self.numbers.standard_normal(size, dtype)

    def integers(self, low: int, high: int, size: Any, *, dtype: Any) -> np.ndarray:
        return self.numbers.integers(low, high, size, dtype)


class RawKernel:
    """Checks what it is launched with."""

    def __init__(self, source: str, name: str) -> None:
        assert f"void {name}(long long" in source

    def __call__(self, grid: Any, block: Any, arguments: Any, *, stream: Stream) -> None:
        assert grid == block == (1,) and isinstance(arguments[0], np.int64) and 0 < arguments[0] < 1e9


def cupy() -> Any:
    """The module."""
    found: Any = types.ModuleType("cupy")
    for name in ("empty", "empty_like", "matmul", "copyto", "asarray"):
        setattr(found, name, getattr(np, name))
    found.__version__ = "14.2"
    found.from_dlpack = lambda x: np.from_dlpack(x)
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
        Event=Event, Stream=Stream, MemoryHook=MemoryHook, runtime=runtime,
        get_elapsed_time=lambda start, end: (end.seconds - start.seconds) * 1e3,
    )  # fmt: skip
    return found
