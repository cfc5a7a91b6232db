"""What a launch needs of its arrays: new outputs, workspace, the stream."""

from __future__ import annotations

from typing import Any

from pylayers import arrays
from pylayers.backends.protocol import Sizes

Array = Any


def stream(x: Array) -> tuple[int, int]:
    """The caller's current stream on the device of x."""
    home = arrays.library(x)
    return home.stream(home.device(x))


def new(x: Array, shape: Sizes, dtype: str = "float32") -> Array:
    """A new dense array in C order beside x."""
    home = arrays.library(x)
    return home.empty(shape, dtype, home.device(x))


def workspace(x: Array, size: int) -> Array | None:
    """Memory for a launch, if it needs any; nothing is assumed of its content."""
    return new(x, (size,), "uint8") if size else None


def alike(x: Array, parameter: Array) -> Array:
    """x, or a copy of it, in the memory order of its parameter."""
    if x.strides == parameter.strides or x.shape != parameter.shape:
        return x
    copy = arrays.empty_like(parameter, dtype=x.dtype)
    copy[...] = x
    return copy


def spread(mask: Array | None, q: Array, k: Array) -> Array | None:
    """The mask as a view of shape (b, h, s, t)."""
    if mask is None:
        return None
    return arrays.namespace(mask).broadcast_to(mask, (*q.shape[:3], k.shape[2]))
