"""Arrays as the bits that they are: the same tests for every dtype of NumPy, ml_dtypes and CuPy."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from pylayers import arrays, dtypes

from .contract import Array

# Without its sign, a number above these bits is NaN.
LARGEST = {
    dtypes.float16: 0x7C00, dtypes.bfloat16: 0x7F80, dtypes.float32: 0x7F80_0000, dtypes.float64: 0x7FF << 52,
    dtypes.float8_e4m3fn: 0x7E, dtypes.float8_e5m2: 0x7C,
}  # fmt: skip


def of(x: Array) -> Array:
    """The array as unsigned integers of its size, on the same memory."""
    return x.view(unsigned(x))


def unsigned(x: Array) -> Any:
    """The unsigned type of the size of an element."""
    return np.dtype(f"uint{8 * x.dtype.itemsize}").type


def all_ones(x: Array) -> Any:
    """The poison of this dtype: NaN in each floating one, and a NaN that no arithmetic makes."""
    return unsigned(x)((1 << 8 * x.dtype.itemsize) - 1)


def poison(x: Array) -> None:
    """Sets every bit."""
    if x.size:
        of(x)[...] = all_ones(x)


def poisoned(x: Array) -> int:
    """How many elements hold the poison; 0 for integers, where it is a number."""
    return int((of(x) == all_ones(x)).sum()) if x.dtype in LARGEST else 0


def nans(x: Array) -> int:
    """How many elements are NaN."""
    if x.dtype not in LARGEST:
        return 0
    magnitude = of(x) & unsigned(x)(int(all_ones(x)) >> 1)
    return int((magnitude > unsigned(x)(LARGEST[x.dtype])).sum())


def constant(x: Array) -> bool:
    """Whether every element is the same."""
    return x.size > 0 and bool(of(x).min() == of(x).max())


def equal(x: Array, y: Array) -> bool:
    """Whether two arrays hold the same bits."""
    return x.shape == y.shape and x.dtype == y.dtype and bool((of(x) == of(y)).all())


def some(x: Array, y: Array, most: int) -> tuple[Array, Array]:
    """About `most` elements of two arrays of one layout, from a place at random on; all where that is 0 or few."""
    stride = x.size // most if most else 0
    if stride < 2 or not (x.flags.c_contiguous and y.flags.c_contiguous):
        return x, y
    chosen = slice(secrets.randbelow(stride), None, stride)
    return of(x).reshape(-1)[chosen], of(y).reshape(-1)[chosen]


def copy(x: Array) -> Array:
    """New memory with the same elements in the same order of axes."""
    y = arrays.empty_like(x)
    assign(y, x)
    return y


def assign(y: Array, x: Array) -> None:
    """Gives y the elements of x, of the same dtype: CuPy has arrays of float8, and no kernel that copies them."""
    of(y)[...] = of(x)


def memory(x: Array) -> tuple[int, int]:
    """Where the array's memory begins and ends."""
    first = last = arrays.library(x).pointer(x)
    for length, stride in zip(x.shape, x.strides):
        reach = (length - 1) * stride if x.size else 0
        first, last = first + min(reach, 0), last + max(reach, 0)
    return first, last + (x.dtype.itemsize if x.size else 0)


def overlap(x: Array, y: Array) -> bool:
    """Whether the memory of two arrays meets."""
    a, b = memory(x), memory(y)
    return a[0] < b[1] and b[0] < a[1]


def writeable(x: Any) -> bool:
    """Whether the array may be written; CuPy's always may."""
    return bool(getattr(x.flags, "writeable", True))
