"""Runs the instruction kernels of tests/ptx/ by name: on the emulator, and on a GPU beside it where one is."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import emulated
import numpy as np
import pytest

SOURCE = Path(__file__).parents[1] / "ptx"
SCHEDULES: list[tuple[emulated.Order, int]] = [("forward", 0), ("reverse", 0), ("random", 1), ("priority", 2)]


@functools.cache
def compiler() -> str | None:
    """nvcc, if there is one."""
    return os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


@functools.cache
def no_gpu() -> str:
    """Why no GPU can run the kernels here; empty when one can."""
    if compiler() is None:
        return "no nvcc"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no GPU: there is no driver"
    count, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "no GPU: the driver finds none"
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, 0)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, 0)
    capability = major.value * 10 + minor.value
    return "" if capability == 90 else f"the GPU has capability {capability}, the kernels need 90"


@functools.cache
def build_for_gpu() -> Path:
    """Compiles the kernels with nvcc and returns the module's file."""
    folder = emulated.ROOT / "build" / "ptx"
    folder.mkdir(parents=True, exist_ok=True)
    import pybind11

    tools = Path(sys.executable).parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    options = [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DPython_EXECUTABLE={sys.executable}"]
    options += [f"-DCMAKE_CUDA_COMPILER={compiler()}"]
    jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
    for command in (
        ["cmake", "-S", SOURCE, "-B", folder, "-G", "Ninja", *options],
        ["cmake", "--build", folder, "-j", jobs],
    ):
        done = subprocess.run(
            [shutil.which(str(command[0]), path=path) or "cmake", *command[1:]],
            env={**os.environ, "PATH": path},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-8000:]
    return folder / f"_ptx{importlib.machinery.EXTENSION_SUFFIXES[0]}"


@functools.cache
def on_gpu() -> ModuleType:
    """The module compiled by nvcc."""
    spec = importlib.util.spec_from_file_location("gpu._ptx", build_for_gpu())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_emulator() -> ModuleType:
    """The module compiled for the emulator."""
    return emulated.load(name="_ptx")


class Machine:
    """Calls kernels on the emulator under several schedules, and on a GPU where `gpu`; all must give the same bits."""

    def __init__(self, gpu: bool) -> None:
        self.gpu = gpu

    def __call__(
        self,
        kernel: str,
        inputs: Sequence[np.ndarray],
        out: np.ndarray,
        numbers: Sequence[int] = (),
        tensor: dict[str, Any] | None = None,
        of_out: bool = False,
        offset: int = 0,
        blocks: int = 1,
    ) -> np.ndarray:
        """What the kernel makes of out, given the bytes of the inputs behind each other.

        `tensor` describes a tensor that begins `offset` bytes into the inputs, or into out.
        """
        data = np.frombuffer(b"".join(np.ascontiguousarray(x).tobytes() for x in inputs) or bytes(16), np.uint8)
        arguments = (list(numbers), tensor, of_out, offset, blocks)
        results = []
        for order in SCHEDULES:
            result = emulated.guarded(out)
            with emulated.schedule(*order, module=on_emulator()):
                on_emulator().run(kernel, emulated.guarded(pad(data)), bytes_of(result), *arguments)
            results.append(np.array(result))
        if self.gpu:
            result = np.array(out)
            on_gpu().run(kernel, pad(data), bytes_of(result), *arguments)
            results.append(result)
        for result in results[1:]:
            np.testing.assert_array_equal(bytes_of(result), bytes_of(results[0]), kernel)
        return results[0]


def bytes_of(x: np.ndarray) -> np.ndarray:
    """The bytes of a contiguous array, as they lie."""
    return x.reshape(-1).view(np.uint8)


def pad(data: np.ndarray) -> np.ndarray:
    """So many bytes that those flush against a guard page begin at a multiple of 16."""
    return np.concatenate([data, np.zeros(-data.size % 16, np.uint8)])


def tensor_of(x: np.ndarray, box: Sequence[int], **more: Any) -> dict[str, Any]:
    """The map of an array of C order for boxes of this size, as `TensorMapSpec`: innermost dimension first."""
    strides = [stride // x.itemsize for stride in reversed(x.strides)]
    sizes = list(reversed(x.shape))
    return {"dtype": str(x.dtype), "rank": x.ndim, "sizes": sizes, "strides": strides, "box": list(box), **more}


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Any bits that are a number of this type."""
    x = np.random.default_rng(seed).integers(1, 100, shape)
    return x.astype(np.float32).astype(dtype)


def box_of(x: np.ndarray, at: list[int], box: list[int], steps: list[int]) -> np.ndarray:
    """The box whose first element has these coordinates, innermost first; zero outside of x."""
    for axis, (first, count) in enumerate(zip(reversed(at), reversed(box))):
        margin = [(0, 0)] * x.ndim
        margin[axis] = (max(0, -first), max(0, first + count - x.shape[axis]))
        x = np.pad(x, margin)
        begin = first + margin[axis][0]
        x = x[(slice(None),) * axis + (slice(begin, begin + count, steps[x.ndim - 1 - axis]),)]
    return x


def words(count: int, seed: int = 0) -> np.ndarray:
    """Random bits."""
    return np.random.default_rng(seed).integers(0, 2**32, count, np.uint32)


@pytest.fixture(params=["emulated", "cuda"])
def run(request: pytest.FixtureRequest) -> Machine:
    """The emulator alone, or with a GPU beside it."""
    if request.param == "cuda" and (reason := no_gpu()):
        pytest.skip(reason)
    return Machine(gpu=request.param == "cuda")
