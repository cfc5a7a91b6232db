"""Where arrays lie and calls run: host memory under NumPy, or one GPU under CuPy and torch on one stream."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pylayers import dtypes
from pylayers.arrays.torch_tensors import BITS, host_view, is_tensor, torch_dtype
from pylayers.context import backend as run_on
from pylayers.train.device import place as placement

from .contract import Array
from .timing import Device, HostDevice

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "": 1}
USUAL_CACHE_BYTES = 32 << 20  # where the system does not say


class HostPlace:
    """Host memory; ours run on the reference, or on the emulated kernels."""

    name = "cpu"
    xp: Any = np
    device: Device

    def __init__(self, backend: str = "reference", seed: int = 0) -> None:
        self.backend = backend
        self.cache_bytes = last_cache_bytes()
        self.device = HostDevice(self.cache_bytes)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """What `normal` and `integers` draw from here on."""
        self._numbers = np.random.default_rng(seed)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """In this block, calls run here."""
        with run_on(self.backend):
            yield

    def free_bytes(self) -> int:
        """Memory that arrays could take."""
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def normal(self, shape: Sequence[int], dtype: str, scale: float = 1.0) -> Array:
        wide = np.float64 if dtype == "float64" else np.float32
        x = self._numbers.standard_normal(tuple(shape), wide)
        x *= wide(scale)
        return x.astype(dtypes.DTYPES[dtype], copy=False)

    def integers(self, shape: Sequence[int], high: int) -> Array:
        return self._numbers.integers(0, high, tuple(shape), np.int64)

    def torch_module(self) -> Any:
        """torch, if it is installed and can work here."""
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module("torch")
        return None

    def torch(self, x: Array) -> Any:
        import torch

        if x.dtype not in BITS:
            return torch.from_numpy(x)
        return torch.from_numpy(x.view(BITS[x.dtype])).view(torch_dtype(x.dtype))

    def array(self, x: Any) -> Array:
        return host_view(x.detach()) if is_tensor(x) else x

    def release(self) -> None:
        """Gives memory that only waits for reuse back; there is none."""

    def one_call_bytes(self, call: Any) -> int | None:
        """None: host memory is not counted."""
        return None


def last_cache_bytes() -> int:
    """The size of the last-level cache."""
    sizes = [re.fullmatch(r"(\d+)([KMG]?)", path.read_text().strip()) for path in CACHES.glob("index*/size")]
    return max((int(size[1]) * UNITS[size[2]] for size in sizes if size), default=USUAL_CACHE_BYTES)


def open_place(choice: str, seed: int) -> tuple[HostPlace, str]:
    """The place of "auto", "cpu", "cuda" or "emulated", and what keeps this machine from a GPU ("" if nothing does).

    ImportError with the remedy where the choice cannot be had.
    """
    chosen = placement(choice)
    if chosen.backend != "cuda":
        return HostPlace(chosen.backend, seed), chosen.missing
    from .cuda_place import CudaPlace

    return CudaPlace(seed), ""
