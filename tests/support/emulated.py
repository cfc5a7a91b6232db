"""The emulated backend of the tests: builds it with g++, sets its schedule, drops its barriers, guards its arrays."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import importlib.machinery
import importlib.util
import math
import mmap
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import mutants as planted
import numpy as np

from pylayers import arrays, backends

Kind = Literal["plain", "race", "asan"]
Order = Literal["forward", "reverse", "random", "priority"]
Copies = Literal["early", "late", "mixed"]
ORDERS: tuple[Order, ...] = ("forward", "reverse", "random", "priority")
ROOT = Path(__file__).resolve().parents[2]
PAGE = mmap.PAGESIZE
POISON = 0xFF  # a NaN in every float type, -1 in every signed integer


class Site(NamedTuple):
    """A call of a synchronising primitive in a kernel."""

    kernel: str
    instruction: str
    where: str  # file:line:column


# ------------------------------------------------------------------------------------------------------ the module


def build(kind: Kind = "plain", mutants: bool = False, name: str = "_emulated") -> Path:
    """Compiles the module `name` where its sources changed, and returns its file.

    With `mutants` its kernels hold the planted bugs of ``mutants.py``. Workers of pytest-xdist wait for each other.
    """
    folder = ROOT / "build" / f"emulated-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mutants:
            planted.write(ROOT / "kernels", folder / "mutants" / "kernels")
        options = {"KIND": kind, "CMAKE_MAKE_PROGRAM": _tool("ninja")}
        options |= {"pybind11_DIR": _pybind11_folder(), "Python_EXECUTABLE": sys.executable}
        defines = [f"-D{key}={value}" for key, value in options.items()]
        configured = folder / "configured"
        if not configured.exists() or configured.read_text() != "\n".join(defines):
            _call(_tool("cmake"), "--fresh", "-S", ROOT / "emulator", "-B", folder, "-G", "Ninja", *defines)
            configured.write_text("\n".join(defines))
        jobs = os.environ.get("MAX_JOBS", os.cpu_count() or 1)
        _call(_tool("cmake"), "--build", folder, "--target", "mutants" if mutants else name, "-j", jobs)
    return folder / ("mutants" if mutants else "") / (name + importlib.machinery.EXTENSION_SUFFIXES[0])


def load(kind: Kind | None = None, mutants: bool = False, name: str = "_emulated") -> types.ModuleType:
    """The module, built if need be; ``pylayers.backend("emulated")`` finds the one loaded last.

    The kind is plain unless the environment's PYLAYERS_EMULATED says race or asan.
    """
    module = _import(kind or os.environ.get("PYLAYERS_EMULATED") or "plain", mutants, name)
    if sys.modules.get(f"pylayers.{name}") is not module:
        sys.modules[f"pylayers.{name}"] = module
        backends.forget()  # the backend may hold another kind
    return module


@functools.cache
def _import(kind: Kind, mutants: bool, name: str) -> types.ModuleType:
    # pybind11 keeps one module for each name, whatever its file; the name's end is that of the init function.
    unique = f"{kind}_mutants.{name}" if mutants else f"{kind}.{name}"
    spec = importlib.util.spec_from_file_location(unique, build(kind, mutants, name))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded() -> types.ModuleType:
    """The module that ``pylayers.backend("emulated")`` uses."""
    return sys.modules.get("pylayers._emulated") or load()


def asan_environment() -> dict[str, str]:
    """The environment in which a Python that knows nothing of AddressSanitizer can load the asan module."""
    libraries = ("libasan.so", "libubsan.so", "libstdc++.so.6")
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in libraries]
    options = "detect_leaks=0:detect_stack_use_after_return=0:allocator_may_return_null=1"
    return {
        **os.environ,
        "PYLAYERS_EMULATED": "asan",
        "LD_PRELOAD": ":".join(found),
        "ASAN_OPTIONS": options,
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _tool(name: str) -> str:
    """A program of this environment, or of the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise FileNotFoundError(f"the emulated backend needs {name}: pip install {name}")
    return found


def _pybind11_folder() -> str:
    import pybind11

    return pybind11.get_cmake_dir()


def _call(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(f"the emulated backend does not build:\n{done.stdout[-8000:]}")


# ------------------------------------------------------------------------------------------------------- controls


@contextlib.contextmanager
def schedule(
    order: Order, seed: int = 0, module: types.ModuleType | None = None, copies: Copies | None = None
) -> Iterator[None]:
    """Runs the threads of blocks in this order.

    `copies` says when copies, stores and matrix products that go on by themselves come to their end; by default the
    seed does: late for 0, mixed for 1, early for 2, late for 3 and so on.
    """
    module = module or loaded()
    before = module.schedule()
    module.configure(order, seed, copies)
    try:
        yield
    finally:
        module.configure(*before)


@contextlib.contextmanager
def resident(clusters: int, module: types.ModuleType | None = None) -> Iterator[None]:
    """Lets so many clusters (blocks, where a kernel has no clusters) live together; otherwise each runs alone."""
    module = module or loaded()
    before = module.set_resident(clusters)
    try:
        yield
    finally:
        module.set_resident(before)


@contextlib.contextmanager
def only_blocks(first: int, last: int, module: types.ModuleType | None = None) -> Iterator[None]:
    """Runs of each launch only blocks `first` to `last` - 1, and the clusters they belong to."""
    module = module or loaded()
    module.set_blocks(first, last)
    try:
        yield
    finally:
        module.set_blocks(0, 2**31)


@contextlib.contextmanager
def truncating(module: types.ModuleType | None = None) -> Iterator[None]:
    """Lets the accumulators of matrix instructions round as the chip's do."""
    module = module or loaded()
    before = module.set_truncating(True)
    try:
        yield
    finally:
        module.set_truncating(before)


@contextlib.contextmanager
def dropped(site: Site, module: types.ModuleType | None = None) -> Iterator[None]:
    """Makes the primitive at this site do nothing: a planted bug."""
    module = module or loaded()
    module.drop(site)
    try:
        yield
    finally:
        module.drop(None)


@contextlib.contextmanager
def by_one_lane(site: Site, module: types.ModuleType | None = None) -> Iterator[None]:
    """Lets only the first lane of each warp execute the fence at this site: a planted bug."""
    module = module or loaded()
    module.leave_to_one_lane(site)
    try:
        yield
    finally:
        module.drop(None)


@contextlib.contextmanager
def mutant(number: int, module: types.ModuleType | None = None) -> Iterator[None]:
    """Lets this planted bug of ``mutants.py`` act, in a module built with them."""
    module = module or loaded()
    module.set_mutant(number)
    try:
        yield
    finally:
        module.set_mutant(0)


@contextlib.contextmanager
def device_spec(
    capability: int = 90,
    sms: int = 132,
    shared_bytes: int = 232448,
    module: types.ModuleType | None = None,
) -> Iterator[None]:
    """Lets kernels be planned for another device than the H200."""
    module = module or loaded()
    module.set_device_spec(capability, sms, shared_bytes)
    try:
        yield
    finally:
        module.reset_device_spec()


def sites(kernel: str = "", module: types.ModuleType | None = None) -> list[Site]:
    """The sites met so far in kernels whose name begins with `kernel`."""
    return [Site(*site) for site in (module or loaded()).sites() if site[0].startswith(kernel)]


# ---------------------------------------------------------------------------------------------------------- arrays


def guarded_empty(
    shape: tuple[int, ...], dtype: Any, gap_bytes: int = 0, before: bool = False, fill: int = POISON
) -> Any:
    """A new array that ends `gap_bytes` before a page nobody may touch, or (`before`) begins as far after one.

    All bytes, those of the gap too, are `fill`.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    pages = -(-(count * dtype.itemsize + gap_bytes) // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 1) * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(memory, np.uint8)
    whole[:] = fill
    _forbid(whole.ctypes.data + (0 if before else pages * PAGE))
    start = PAGE + gap_bytes if before else pages * PAGE - gap_bytes - count * dtype.itemsize
    return np.ndarray(shape, dtype, memory, start)


def guarded(array: Any, offset_elements: int = 0, before: bool = False) -> Any:
    """A C-contiguous copy of the array flush against a guard page, or `offset_elements` elements away from it."""
    array = np.asarray(array)
    copy = guarded_empty(array.shape, array.dtype, offset_elements * array.dtype.itemsize, before)
    copy[...] = array
    return copy


@contextlib.contextmanager
def guarded_outputs(fill: int = POISON, before: bool = False) -> Iterator[None]:
    """Every array that an operation allocates is poisoned and lies against a guard page."""

    def empty(library: arrays.NumpyLibrary, shape: tuple[int, ...], dtype: Any, device: str) -> Any:
        return guarded_empty(shape, dtype, before=before, fill=fill)

    original = vars(arrays.NumpyLibrary)["empty"]  # the static method itself, which an attribute would unwrap
    arrays.NumpyLibrary.empty = empty  # type: ignore
    try:
        yield
    finally:
        arrays.NumpyLibrary.empty = original  # type: ignore


def _forbid(address: int) -> None:
    """Makes the page at this address one that nobody may touch."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
