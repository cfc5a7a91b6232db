"""A GPU that is not there: a CuPy whose arrays have pointers and views but no values, and a `_cuda` that only records.

It lets the cuda half of every op run without a GPU: which stream, which device, what workspace, which library the
outputs come from, what happens when memory runs out. Arithmetic on its arrays is an error: a hot path may use kernels
and views only.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from pylayers import arrays, backends


class Launch(NamedTuple):
    """What the module would have started."""

    kernel: str
    blocks: int
    threads: int
    shared_bytes: int
    stream: int
    device: int
    cluster: int = 1


class FakeMemoryError(MemoryError):
    """As CuPy's OutOfMemoryError, which derives from MemoryError too."""


class FakeArray:
    """Shape, strides and a pointer on a device. Views work; values do not exist."""

    __array_ufunc__ = None
    fills = 0  # arrays filled with one number, as an optimizer does with its moments before the first step

    def __init__(self, layout: np.ndarray, device: int, base: FakeArray | None = None) -> None:
        self.base = base
        self._layout = layout  # host memory of the same size, never read: it lends its address and its views
        self.device = types.SimpleNamespace(id=device)
        self.data = types.SimpleNamespace(ptr=layout.__array_interface__["data"][0], device_id=device)
        self.shape, self.strides, self.dtype = layout.shape, layout.strides, layout.dtype
        self.ndim, self.size, self.itemsize, self.nbytes = layout.ndim, layout.size, layout.itemsize, layout.nbytes
        self.flags = layout.flags

    def _view(self, layout: np.ndarray) -> FakeArray:
        if layout.size and not np.shares_memory(layout, self._layout):
            raise AssertionError("fake_cuda: this view would be a copy on the GPU, by no kernel of ours")
        return FakeArray(layout, self.device.id, self if self.base is None else self.base)

    def __len__(self) -> int:
        return len(self._layout)

    def __getitem__(self, key: Any) -> FakeArray:
        return self._view(self._layout[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis or not isinstance(value, (int, float)):
            raise AssertionError("fake_cuda: this assignment would run on the GPU, by no kernel of ours")
        FakeArray.fills += 1

    @property
    def T(self) -> FakeArray:
        return self._view(self._layout.T)

    def reshape(self, *shape: Any, **how: Any) -> FakeArray:
        return self._view(self._layout.reshape(*shape, **how))

    def transpose(self, *axes: Any) -> FakeArray:
        return self._view(self._layout.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> FakeArray:
        return self._view(self._layout.swapaxes(a, b))

    def squeeze(self, axis: Any = None) -> FakeArray:
        return self._view(self._layout.squeeze(axis))

    def view(self, *args: Any) -> FakeArray:
        return self._view(self._layout.view(*args))


class FakeCuda:
    """The state of the machine: current device and stream, allocations made and to fail, and what was launched."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.current_device = 0
        self.streams: dict[int, int] = {}  # device -> handle; the default stream is 0
        self.allocations: list[tuple[tuple[int, ...], str, int]] = []
        self.fail_at: int | None = None  # the allocation, counted from 0, that finds no memory

    def launches(self) -> list[Launch]:
        """What was launched since the last call."""
        return [Launch(*record) for record in self.module.take_records()]

    def empty(self, shape: Any, dtype: Any = np.float32, order: str = "C") -> FakeArray:
        if np.dtype(dtype).name.startswith("float8"):
            raise ValueError(f"Unsupported dtype {np.dtype(dtype).name}")  # as CuPy, which has views of them alone
        number = len(self.allocations)
        shape = tuple(np.atleast_1d(shape).tolist()) if not isinstance(shape, tuple) else shape
        self.allocations.append((shape, np.dtype(dtype).name, self.current_device))
        if number == self.fail_at:
            raise FakeMemoryError(f"Out of memory allocating {int(np.prod(shape)) * np.dtype(dtype).itemsize:,} bytes")
        return FakeArray(np.empty(shape, dtype, order), self.current_device)

    def array(self, x: Any, device: int = 0) -> FakeArray:
        """The layout of a NumPy array, on a device."""
        return FakeArray(np.asarray(x), device)

    @contextlib.contextmanager
    def on(self, device: int) -> Iterator[None]:
        before, self.current_device = self.current_device, device
        try:
            yield
        finally:
            self.current_device = before

    def cupy(self) -> types.ModuleType:
        """What pylayers uses of CuPy."""
        cupy: Any = types.ModuleType("cupy")
        cupy.ndarray = FakeArray
        cupy.empty = self.empty
        cupy.ones_like = lambda x: self.empty(x.shape, x.dtype)  # the cotangent of a loss: one number
        cupy.broadcast_to = lambda x, shape: x._view(np.broadcast_to(x._layout, shape))
        cupy.moveaxis = lambda x, a, b: x._view(np.moveaxis(x._layout, a, b))
        cupy.swapaxes = lambda x, a, b: x.swapaxes(a, b)
        cupy.cuda = types.SimpleNamespace(
            Device=self.on,
            get_current_stream=lambda device: types.SimpleNamespace(ptr=self.streams.get(device, 0)),
            runtime=types.SimpleNamespace(getDevice=lambda: self.current_device),
        )
        return cupy


@contextlib.contextmanager
def installed() -> Iterator[FakeCuda]:
    """Puts the fake in the place of CuPy, and `_cuda` into its recording mode."""
    try:
        module = backends.load("cuda").module  # type: ignore[attr-defined]
    except ImportError as error:
        pytest.skip(f"cuda: {error}")
    fake = FakeCuda(module)
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = fake.cupy()
    arrays.cupy_library.cache_clear()
    module.record(True)
    try:
        yield fake
    finally:
        module.record(False)
        arrays.cupy_library.cache_clear()
        arrays.libraries.pop(FakeArray, None)
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def flat(value: Any) -> Iterator[Any]:
    """The arrays in a result."""
    if isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(flat, value))
    elif value is not None:
        yield value
