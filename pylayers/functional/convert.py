"""Tensors of another dtype or on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.functional.array import tensor_method
from pylayers.operations.array import cast, quiet, to_device

Array = Any


class To(Record):
    """x with another dtype, on another device; the gradient goes back to where x is."""

    @staticmethod
    @quiet
    def forward(ctx: Any, x: Array, dtype: Any, device: str | None) -> Array:
        ctx.device = arrays.device(x)
        y = cast(x, x.dtype if dtype is None else dtype)
        return y if device is None else to_device(y, device)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None]:
        return to_device(dy, ctx.device), None, None


@tensor_method
def to(input: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """The tensor with a dtype, on a device, or as another tensor has them; itself where nothing changes.

    ``to("cuda")`` raises ModuleNotFoundError, naming the extra to install, without CuPy.
    """
    for value in args:
        if isinstance(value, Tensor):
            dtype, device = value.dtype, value.device
        elif isinstance(value, str) and value not in dtypes.DTYPES:
            device = value
        elif value is not None:
            dtype = value
    dtype = None if dtype is None else dtypes.as_dtype("to", dtype)
    if device is not None:
        device = str(device)
        home = arrays.library_of(device)  # refuses unknown devices before anything is compared
        if home is arrays.library(input.array) and device in ("cuda", input.device):
            device = None
    if (dtype is None or dtype == input.dtype) and device is None:  # NumPy takes None for float64
        return input.clone() if copy else input
    return To.apply(input, dtype, device)


@tensor_method
def cpu(input: Tensor) -> Tensor:
    """The tensor in host memory; itself if it lies there."""
    return to(input, "cpu")


@tensor_method
def cuda(input: Tensor, device: Any = None) -> Tensor:
    """The tensor in GPU memory: of the current GPU, of GPU number `device`, or of ``"cuda:<number>"``."""
    return to(input, device="cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)


@tensor_method
def type_as(input: Tensor, other: Tensor) -> Tensor:
    """The tensor with the dtype of `other`."""
    return to(input, dtype=other.dtype)


@tensor_method
def type(input: Tensor, dtype: Any) -> Tensor:
    """The tensor with the dtype."""
    return to(input, dtype=dtype)


def _conversion(name: str, dtype: Any) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        return to(input, dtype=dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The tensor as {dtype.name}."
    return tensor_method(function)


for _name, _dtype in {**dtypes.ALIASES, "bfloat16": dtypes.bfloat16}.items():
    _conversion(_name, _dtype)
