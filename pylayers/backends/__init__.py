"""Three implementations of one contract, `contract.Backend`: reference (NumPy), emulated (kernels on the CPU), cuda."""

from __future__ import annotations

import functools
import typing

from numpy import ndarray

from pylayers import arrays
from pylayers.arrays import libraries
from pylayers.backends.contract import Backend
from pylayers.context import BACKENDS, backend_name
from pylayers.errors import expected

HOST = frozenset(("cpu", ""))  # "": there is no array


# The compiled module that `of` found for arrays of a type, by the name of the block's backend: what the next call of an
# op may ask at once, without checks. What that cannot serve, or what has no meaning, it refuses before it launches.
compiled: dict[str | None, dict[type, Backend]] = {name: {} for name in (None, *BACKENDS)}
REFUSALS = (TypeError, ValueError, NotImplementedError)


@functools.cache
def reference_backend() -> Backend:
    """The one reference backend, which needs no module."""
    from pylayers.backends.reference import Reference

    return typing.cast(Backend, Reference())


@functools.cache
def load(name: str) -> Backend:
    """The named backend; ImportError with the remedy when its module was not built."""
    if name == "reference":
        return reference_backend()
    from pylayers.backends.native import Native

    return typing.cast(Backend, Native(name))


def forget() -> None:
    """Looks for the compiled modules anew: tests put others in their place."""
    load.cache_clear()
    for found in compiled.values():
        found.clear()


def of(op: str, *operands: object) -> Backend:
    """The backend that the arrays among `operands` call for; None stands for an absent operand.

    GPU memory runs on cuda, NumPy on the reference, or on what ``pylayers.backend(name)`` chose. TypeError when the
    arrays lie on different devices.
    """
    device, kind = "", None
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
    backend = load(name)
    if name != "reference" and kind is not None:
        compiled[backend_name.get()][kind] = backend
    return backend
