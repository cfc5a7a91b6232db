"""The contenders of a place: ours, torch, NumPy or CuPy, each with its version, or the reason why it is absent."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import pylayers
from pylayers.backends.contract import OPS
from pylayers.backends.contract.op import FLOAT32
from pylayers.context import backend

from .contract import Absent, Array, Arrays, Call, Case, Contender, Place

Entry = Contender | Absent
# The most that one call may cost on a CPU: a second or so of the slowest contender on two cores.
MOST_FLOP = {"reference": 4e9, "emulated": 4e6}
MOST_BYTES = {"reference": 3e8, "emulated": 1e6}


def library_name(place: Place) -> str:
    """The library of the place's arrays."""
    return "NumPy" if place.name == "cpu" else "CuPy"


def special(place: Place) -> Any:
    """The module of special functions for the place's arrays."""
    return importlib.import_module("scipy.special" if place.name == "cpu" else "cupyx.scipy.special")


@functools.cache
def torch_for(kind: str) -> Any:
    """torch for ``"cpu"`` or ``"cuda"``, cuDNN in its benchmark mode, float32 products in float32; or why it is not."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "torch is not installed"
    if kind != "cpu":
        if not torch.cuda.is_available():
            return "this torch sees no GPU"
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch


def nobody(place: Place, reason: str) -> list[Entry]:
    """Every contender absent for one reason."""
    return [Absent("pylayers", reason, ours=True), Absent("torch", reason), Absent(library_name(place), reason)]


def too_much(case: Case, place: Place) -> list[Entry]:
    """Every contender absent where one call would take a CPU too long; else none."""
    if place.name != "cpu":
        return []
    amounts = (case.flop, MOST_FLOP[place.backend], "operations"), (case.bytes, MOST_BYTES[place.backend], "bytes")
    for amount, most, unit in amounts:
        if amount > most:
            reason = f"not measured on the CPU: {amount:.1e} {unit} are more than the {most:.0e} that a call may take"
            return nobody(place, reason)
    return []


def ours(
    place: Place,
    arithmetic: str,
    prepare: Callable[[Arrays], Call],
    op: str,
    *,
    dtype: str = "float32",
    name: str = "pylayers",
) -> Entry:
    """Ours on the backend of the place, if the kernels of the op take the dtype; the reference takes every one."""
    known = OPS[op].kernels if op in OPS else FLOAT32  # a whole step takes what all its ops take
    if place.backend != "reference" and dtype not in known:
        return Absent(name, f"{op} has no kernel for {dtype} yet; there is {', '.join(known)}", ours=True)

    def prepared(arrays: Arrays) -> Call:
        if place.backend != "emulated":  # the others follow the arrays
            return prepare(arrays)
        with backend("emulated"):
            call = prepare(arrays)

        def emulated() -> Any:
            with backend("emulated"):
                return call()

        return emulated

    return Contender(name, pylayers.__version__, arithmetic, prepared, ours=True)


def with_torch(
    place: Place, arithmetic: str, prepare: Callable[[Any, dict[str, Any]], Call], name: str = "torch"
) -> Entry:
    """A contender in torch; `prepare` gets the module and tensors on the memory of the arrays."""
    torch = torch_for(place.name.partition(":")[0])
    if isinstance(torch, str):
        return Absent(name, torch)
    version = str(torch.__version__)
    if place.name != "cpu":
        version += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"

    def prepared(arrays: Arrays) -> Call:
        return prepare(torch, {key: place.torch(x) for key, x in arrays.items()})

    return Contender(name, version, arithmetic, prepared)


def program(place: Place, function: Callable[..., Any]) -> Any:
    """torch.compile of ``function(torch, *rest)``, compiled once for all buffer sets of a case; None without torch."""
    torch = torch_for(place.name.partition(":")[0])
    if isinstance(torch, str):
        return None
    torch.compiler.reset()  # torch keeps few programs for one function, and from there on compiles no more
    return torch.compile(functools.partial(function, torch), fullgraph=True, dynamic=False)


def compiled(
    place: Place, arithmetic: str, function: Callable[[Any, dict[str, Any]], Any], name: str = "torch.compile"
) -> Entry:
    """What torch.compile makes of a function of tensors."""
    graph = program(place, function)
    return with_torch(place, arithmetic, lambda torch, x: lambda: as_tuple(graph(x)), name)


def as_tuple(y: Any) -> tuple[Array, ...]:
    """One result or several."""
    return tuple(y) if isinstance(y, (tuple, list)) else (y,)


def with_arrays(
    place: Place, arithmetic: str, prepare: Callable[[Any, Arrays], Call], reason: str = "", name: str = ""
) -> Entry:
    """A contender in the library of the arrays; absent for a reason."""
    name = name or library_name(place)
    if reason:
        return Absent(name, reason)
    return Contender(name, str(place.xp.__version__), arithmetic, lambda arrays: prepare(place.xp, arrays))
