"""What the tests of kernels do with arrays of a GPU, on a CuPy made of NumPy that refuses what CuPy refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy_cupy
import pytest
from subject import Subject

from pylayers import arrays

DTYPES = ("float32", "float16", "int64", "int8", "bool", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn,
          ml_dtypes.float8_e5m2)  # fmt: skip
VIEWS: dict[str, Any] = {
    "plain": lambda x: x, "transposed": lambda x: x.T, "strided": lambda x: x[::2, 1::3], "reversed": lambda x: x[::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], (5, x.shape[1])),
    "empty": lambda x: x[:0], "one": lambda x: x[0, 0:1],
}  # fmt: skip


@pytest.fixture
def gpu() -> Iterator[Subject]:
    """A subject whose backend copies what it is given into new memory."""
    with numpy_cupy.installed():
        found = Subject.__new__(Subject)
        found.name, found.backend = "cuda", Copies()  # type: ignore[assignment]
        yield found


class Copies:
    """Ops that need no kernel."""

    def copied(self, x: Any) -> Any:
        y = arrays.empty_like(x)
        y.view(f"u{y.itemsize}")[...] = x.view(f"u{x.itemsize}")
        return y

    def forgetful(self, x: Any) -> Any:
        return arrays.empty_like(x)

    def changing(self, x: Any) -> Any:
        x.view(f"u{x.itemsize}")[...] = 1
        return arrays.empty_like(x)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("align", [1, 16])
def test_arrays_come_to_the_gpu_and_back(dtype: Any, view: str, align: int, gpu: Subject) -> None:
    x = VIEWS[view](np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 60, (7, 13)).astype(dtype))
    there = gpu.place(x, align)
    assert isinstance(there, numpy_cupy.Array) and there.dtype == x.dtype
    assert there.shape == x.shape and (there.strides == x.strides or not x.size)
    back = gpu.take(there)
    assert type(back) is np.ndarray and back.dtype == x.dtype
    np.testing.assert_array_equal(back.view(f"u{x.itemsize}"), np.ascontiguousarray(x).view(f"u{x.itemsize}"))


@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.float8_e4m3fn], ids=lambda dtype: np.dtype(dtype).name)
def test_an_op_is_run_twice_on_memory_that_held_other_numbers(dtype: Any, gpu: Subject) -> None:
    x = np.arange(12).reshape(3, 4).astype(dtype)
    np.testing.assert_array_equal(gpu("copied", x).astype(float), x.astype(float))
    with pytest.raises(AssertionError, match="forgetful depends on what its outputs held"):
        gpu("forgetful", x)
    with pytest.raises(AssertionError, match="changing changed an input"):
        gpu("changing", x)


def test_the_stand_in_refuses_what_cupy_refuses(gpu: Subject) -> None:
    x, host = gpu.place(np.ones((2, 3), np.float32)), np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="non-scalar numpy.ndarray cannot be used for fill"):
        x[...] = host
    with pytest.raises(TypeError, match="Unsupported type"):
        x + host
    with pytest.raises(ValueError, match="Unsupported dtype float8_e5m2"):
        numpy_cupy.empty((2,), ml_dtypes.float8_e5m2)


def test_the_real_one_refuses_it_in_the_same_words() -> None:
    """CuPy itself, which needs no driver to say no: its arrays lie over host memory here."""
    cupy = pytest.importorskip("cupy")

    class Memory(cupy.cuda.BaseMemory):
        """Memory of the host, which CuPy takes for a GPU's."""

        def __init__(self, host: np.ndarray) -> None:
            self.host, self.ptr, self.size, self.device_id = host, host.ctypes.data, host.nbytes, 0

    def placed(host: np.ndarray) -> Any:
        return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(Memory(host), 0), host.strides)

    x, host = placed(np.zeros((2, 3), np.float32)), np.ones((2, 3), np.float32)
    for refused in (lambda: x.__setitem__(..., host), lambda: x.__setitem__(slice(0, 1), [1, 2, 3])):
        with pytest.raises(ValueError, match="non-scalar numpy.ndarray cannot be used for fill"):
            refused()
    with pytest.raises(RuntimeError, match="Cannot set to non-contiguous array"):
        x[:, ::2].set(host[:, ::2])
    for dtype in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        eight = placed(np.zeros(6, np.uint8)).view(dtype)
        assert eight[::2].view(np.uint8).strides == (2,)  # views it has
        with pytest.raises(ValueError, match=f"Unsupported dtype {eight.dtype.name}"):
            cupy.empty((2,), dtype)
        with pytest.raises(ValueError, match=f"Unsupported dtype {eight.dtype.name}"):
            cupy.empty_like(eight)
