"""Which device a run takes when nobody says, and what is missing for the GPU."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from pylayers import arrays, backends, context, info
from pylayers.errors import expected

CHOICES = ("auto", "cpu", "cuda", "emulated")


class Placement(NamedTuple):
    """Where a run computes: the backend, the device of its arrays, and why that is not the GPU ("" if it is)."""

    backend: str
    device: str
    missing: str


def place(choice: str = "auto") -> Placement:
    """ "auto" takes the GPU if there is one, this package's kernels for it and CuPy; otherwise the CPU.

    ``"cuda"`` raises ImportError with what is missing; so does ``"emulated"`` when that backend was not built.
    Inside ``pylayers.backend(name)`` "auto" takes what is named there.
    """
    if choice not in CHOICES:
        raise expected("place", "device", "one of " + ", ".join(map(repr, CHOICES)), repr(choice))
    named = context.backend_name.get()
    if choice == "auto" and named is not None:
        return Placement(
            named, "cuda" if named == "cuda" else "cpu", "" if named == "cuda" else f"{named} was asked for"
        )
    if choice == "cpu":
        return Placement("reference", "cpu", "the CPU was asked for")
    if choice == "emulated":
        backends.load("emulated")
        return Placement("emulated", "cpu", "the emulator was asked for")
    missing = gpu_missing()
    if not missing:
        return Placement("cuda", "cuda", "")
    if choice == "cuda":
        raise ImportError(f"cuda: {missing}")
    return Placement("reference", "cpu", missing)


def gpu_missing() -> str:
    """What keeps this machine from running on a GPU, as one clause, or "" when nothing does."""
    try:
        backends.load("cuda")
        # CuPy is no help where there is no driver.
        if problem := info.driver_problem(importlib.import_module("pylayers._cuda")):
            return problem
        cupy = arrays.cupy_library().namespace
    except ImportError as error:
        return str(error)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no usable GPU ({error})"
    return "" if count else "no GPU"
