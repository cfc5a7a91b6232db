"""Three implementations of one contract, `protocol.Backend`: reference (NumPy), emulated (kernels on the CPU), cuda."""

from __future__ import annotations

import functools
import importlib
import typing

from pylayers import arrays, context
from pylayers.backends.protocol import Backend
from pylayers.errors import expected


@functools.cache
def load(name: str) -> Backend:
    """The named backend; ImportError with the remedy when its module was not built."""
    if name == "reference":
        return typing.cast(Backend, importlib.import_module("pylayers.backends.reference"))
    from pylayers.backends.native import Native

    return Native(name)


def of(op: str, *operands: object) -> Backend:
    """The backend that the arrays among `operands` call for; None stands for an absent operand.

    GPU memory runs on cuda, NumPy on the reference, or on what ``pylayers.backend(name)`` chose. TypeError when the
    arrays lie on different devices.
    """
    devices = {arrays.device(x) for x in operands if x is not None}
    if len(devices) > 1:
        raise expected(op, "device", "all arrays on one device", " and ".join(sorted(devices)), error=TypeError)
    chosen = context.backend_name.get()
    on_gpu = any(d != "cpu" for d in devices)
    if chosen is not None and (chosen == "cuda") != on_gpu:
        where = "GPU memory" if chosen == "cuda" else "host memory"
        raise expected(op, "device", f"arrays in {where} for backend '{chosen}'", ", ".join(devices), error=TypeError)
    return load(chosen or ("cuda" if on_gpu else "reference"))
