"""Three implementations of one contract, `protocol.Backend`: reference (NumPy), emulated (kernels on the CPU), cuda."""

from __future__ import annotations

import functools
import importlib
import typing

from numpy import ndarray

from pylayers import arrays
from pylayers.arrays import libraries
from pylayers.backends.protocol import Backend
from pylayers.backends.sizes import FLOATING
from pylayers.context import backend_name
from pylayers.errors import expected

HOST = frozenset(("cpu", ""))  # "": there is no array


@functools.cache
def load(name: str) -> Backend:
    """The named backend; ImportError with the remedy when its module was not built."""
    if name == "reference":
        return typing.cast(Backend, importlib.import_module("pylayers.backends.reference"))
    from pylayers.backends.native import Native

    return Native(name)


def common(x: typing.Any, y: typing.Any, z: typing.Any = None) -> Backend | None:
    """The backend for arrays of one library, device and floating dtype; None for all else, which `of` tells apart.

    `z` may be absent. One pass over the arguments, since every call of a layer begins with it.
    """
    kind = type(x)
    if type(y) is not kind or (z is not None and type(z) is not kind) or kind not in libraries:
        return None
    dtype = x.dtype
    if y.dtype is not dtype or (z is not None and z.dtype is not dtype) or dtype not in FLOATING:
        return None
    device = "cpu"
    if kind is not ndarray:
        place = libraries[kind].device
        device = place(x)
        if place(y) != device or (z is not None and place(z) != device):
            return None
    name = backend_name.get() or ("reference" if device in HOST else "cuda")
    return None if (name == "cuda") is (device in HOST) else load(name)


def of(op: str, *operands: object) -> Backend:
    """The backend that the arrays among `operands` call for; None stands for an absent operand.

    GPU memory runs on cuda, NumPy on the reference, or on what ``pylayers.backend(name)`` chose. TypeError when the
    arrays lie on different devices.
    """
    device = ""
    for x in operands:
        if x is not None:
            kind = type(x)
            other = "cpu" if kind is ndarray else (libraries.get(kind) or arrays.library(x)).device(x)
            if other != device:
                if device:
                    devices = sorted({arrays.device(x) for x in operands if x is not None})
                    raise expected(op, "device", "all arrays on one device", " and ".join(devices), error=TypeError)
                device = other
    name = backend_name.get() or ("reference" if device in HOST else "cuda")
    if (name == "cuda") is (device in HOST):
        where = "GPU memory" if name == "cuda" else "host memory"
        raise expected(op, "device", f"arrays in {where} for backend '{name}'", device, error=TypeError)
    return load(name)
