"""A backend under test: every op runs on guarded copies of its inputs and into poisoned outputs, twice."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import emulated
import numpy as np

from pylayers import arrays, backends

Array = Any
SCHEDULES = [("forward", 0), ("reverse", 0), *[("random", s) for s in (1, 2, 3)], *[("priority", s) for s in (1, 2, 3)]]


def available(name: str) -> str:
    """Why the backend cannot be tested here; empty when it can."""
    if name == "emulated":
        emulated.load()
    if name == "cuda":
        try:
            backends.load("cuda").module.device_name(0)  # type: ignore[attr-defined]
            arrays.cupy_library()
        except Exception as error:
            return f"no GPU: {error}"
    return ""


def map_arrays(change: Callable[[Array], Array], value: Any) -> Any:
    """The value with every array in it, in lists and plain tuples too, changed."""
    if type(value) in (list, tuple):
        return type(value)(map_arrays(change, item) for item in value)
    return change(value) if arrays.is_array(value) else value


ALIGNED = {"gemm", "linear"}  # whose kernels are chosen by the operands' addresses, modulo 16 bytes


def same_strides(
    x: np.ndarray,
    empty: Callable[..., Array],
    strided: Callable[..., Array],
    align: int = 1,
    upload: Callable[[np.ndarray], Array] = np.asarray,
) -> Array:
    """A copy of x with the strides of x, in memory that holds no more than x spans; gaps are whatever `empty` gives.

    With `align` the copy's address is that of x modulo so many bytes; up to as many are behind it. `upload` brings
    numbers to where `empty` makes arrays. All as bits: neither library's functions know every dtype.
    """
    reach = [(n - 1) * stride // x.itemsize for n, stride in zip(x.shape, x.strides)] if x.size else []
    low, high = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
    count = high - low + 1 if x.size else 0
    # `empty` ends at a multiple of `align`, and the first element in memory lies at `lowest`.
    lowest = x.__array_interface__["data"][0] + low * x.itemsize
    behind = -(lowest + count * x.itemsize) % align // x.itemsize
    bits = x.view(f"u{x.itemsize}")
    copy = strided(empty((count + behind,), bits.dtype)[-low:], x.shape, x.strides)
    if x.size:
        copy[...] = upload(bits)
    return copy.view(x.dtype)


class Subject:
    """Calls ops of one backend on NumPy arrays and returns NumPy arrays."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.backend = backends.load(name)

    def place(self, x: np.ndarray, align: int = 1) -> Array:
        """x where the backend works, its strides kept, flush against memory that nobody may touch."""
        if self.name == "cuda":
            import cupy

            return same_strides(x, cupy.empty, cupy.lib.stride_tricks.as_strided, align, cupy.asarray)
        return same_strides(x, emulated.guarded_empty, np.lib.stride_tricks.as_strided, align)

    def take(self, x: Array) -> np.ndarray:
        return x.view(f"u{x.itemsize}").get().view(x.dtype) if self.name == "cuda" else np.array(x)

    @contextlib.contextmanager
    def poisoned(self, fill: int) -> Iterator[None]:
        """New arrays hold `fill` in every byte."""
        if self.name != "cuda":
            with emulated.guarded_outputs(fill):
                yield
            return
        original = arrays.CupyLibrary.empty

        def empty(library: Any, shape: Any, dtype: Any, device: str) -> Array:
            x = original(library, shape, dtype, device)
            x.data.memset(fill, x.nbytes)
            return x

        arrays.CupyLibrary.empty = empty  # type: ignore[method-assign]
        try:
            yield
        finally:
            arrays.CupyLibrary.empty = original  # type: ignore[method-assign]

    def __call__(self, op: str, *args: Any, **options: Any) -> Any:
        """The op's result; asserts that inputs stay untouched and that no output depends on what its memory held."""
        results = []
        for fill in (0xFF, 0x7E):  # NaN, and 8.5e37
            place = functools.partial(self.place, align=16 if op in ALIGNED else 1)
            placed, named = map_arrays(place, args), map_arrays(place, list(options.values()))
            with self.poisoned(fill):
                result = getattr(self.backend, op)(*placed, **dict(zip(options, named)))
            results.append(map_arrays(self.take, result))
            given = [*args, *options.values()]
            map_arrays_pairs(assert_identical, [*placed, *named], given, self.take, f"{op} changed an input")
        map_arrays_pairs(assert_identical, results[1], results[0], self.take, f"{op} depends on what its outputs held")
        return results[0]


def map_arrays_pairs(check: Callable[..., None], a: Any, b: Any, take: Callable[[Array], Array], what: str) -> None:
    """Calls check on the arrays that stand at the same places of a and b."""
    if isinstance(a, (list, tuple)):
        for x, y in zip(a, b, strict=True):
            map_arrays_pairs(check, x, y, take, what)
    elif arrays.is_array(a):
        check(a if isinstance(a, np.ndarray) else take(a), np.asarray(b), what)


def assert_identical(a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Bit for bit."""
    assert a.shape == b.shape and a.dtype == b.dtype, what
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes(), what
