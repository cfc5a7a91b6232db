"""One GPU: arrays of CuPy, torch on their memory, and both on one stream that is not the default one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pylayers import dtypes
from pylayers.arrays import cupy_library
from pylayers.arrays.torch_tensors import BITS, is_tensor, numpy_dtypes, torch_dtype
from pylayers.backends.sizes import FLOAT8

from .contract import Array
from .places import HostPlace
from .timing import CLOCK, Mark

CYCLES_PER_SECOND = 2e9  # no GPU of today clocks its multiprocessors higher; a slower one holds longer
HOLD = r"""
extern "C" __global__ void hold(long long cycles) {
    long long const start = clock64();
    while (clock64() - start < cycles) {
    }
}
"""


class CudaDevice:
    """Events of the stream and the host's clock."""

    asynchronous = True

    def __init__(self, cupy: Any, stream: Any, cache_bytes: int) -> None:
        self._cupy, self._stream = cupy, stream
        self._buffer = cupy.empty(2 * cache_bytes, np.uint8)
        self._hold = cupy.RawKernel(HOLD, "hold")

    def flush(self) -> None:
        self._buffer.fill(0)

    def hold(self, seconds: float) -> None:
        self._hold((1,), (1,), (np.int64(seconds * CYCLES_PER_SECOND),), stream=self._stream)

    def mark(self) -> Mark:
        event = self._cupy.cuda.Event()
        event.record(self._stream)
        return event

    def seconds(self, start: Mark, end: Mark) -> float:
        return self._cupy.cuda.get_elapsed_time(start, end) * 1e-3

    def synchronize(self) -> None:
        self._cupy.cuda.runtime.deviceSynchronize()

    def clock(self) -> float:
        return CLOCK()


class CudaPlace(HostPlace):
    """Memory of the current GPU."""

    def __init__(self, seed: int = 0) -> None:
        cupy = cupy_library().namespace
        number = cupy.cuda.runtime.getDevice()
        self.xp, self.backend, self.name = cupy, "cuda", f"cuda:{number}"
        self.cache_bytes = int(cupy.cuda.runtime.getDeviceProperties(number)["l2CacheSize"])
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.device = CudaDevice(cupy, self.stream, self.cache_bytes)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self._numbers = self.xp.random.default_rng(seed)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.stream)
            torch = self.torch_module()
            if torch is not None:
                stack.enter_context(torch.cuda.stream(torch.cuda.ExternalStream(self.stream.ptr)))
            yield

    def free_bytes(self) -> int:
        pool = self.xp.get_default_memory_pool()
        return int(self.xp.cuda.runtime.memGetInfo()[0] + pool.free_bytes())

    def normal(self, shape: Sequence[int], dtype: str, scale: float = 1.0) -> Array:
        wide = np.float64 if dtype == "float64" else np.float32
        x = self._numbers.standard_normal(tuple(shape), dtype=wide)
        x *= wide(scale)
        if dtypes.DTYPES[dtype] in FLOAT8:  # of which CuPy has arrays, but no arithmetic
            if self.torch_module() is None:
                raise NotImplementedError(f"{dtype} on a GPU is rounded by torch, which is not installed with CUDA")
            return self.array(self.torch(x).to(torch_dtype(dtypes.DTYPES[dtype])))
        return x.astype(dtypes.DTYPES[dtype], copy=False)

    def integers(self, shape: Sequence[int], high: int) -> Array:
        return self._numbers.integers(0, high, tuple(shape), dtype=np.int64)

    def torch_module(self) -> Any:
        torch = super().torch_module()
        return torch if torch is not None and torch.cuda.is_available() else None

    def torch(self, x: Array) -> Any:
        import torch

        if x.dtype not in BITS:
            return torch.from_dlpack(x)
        return torch.from_dlpack(x.view(BITS[x.dtype])).view(torch_dtype(x.dtype))

    def array(self, x: Any) -> Array:
        if not is_tensor(x):
            return x
        x, dtype = x.detach(), numpy_dtypes()[x.dtype]
        if dtype not in BITS:
            return self.xp.from_dlpack(x)
        return self.xp.from_dlpack(x.view(torch_dtype(np.dtype(BITS[dtype])))).view(dtype)

    def release(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()
        torch = self.torch_module()
        if torch is not None:
            torch.cuda.empty_cache()

    def one_call_bytes(self, call: Callable[[], Any]) -> int | None:
        """The most memory that one call takes beyond what was there, CuPy's and torch's together."""
        from cupy.cuda import MemoryHook

        class Peak(MemoryHook):
            """Counts what CuPy's pool gives out and takes back."""

            name = "Peak"
            now = most = 0

            def malloc_postprocess(self, *, mem_size: int, **_: Any) -> None:
                self.now += mem_size
                self.most = max(self.most, self.now)

            def free_postprocess(self, *, mem_size: int, **_: Any) -> None:
                self.now -= mem_size

        torch = self.torch_module()
        before = 0
        if torch is not None:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        with Peak() as peak:
            kept = call()
            self.device.synchronize()
            del kept
        return peak.most + (torch.cuda.max_memory_allocated() - before if torch is not None else 0)
