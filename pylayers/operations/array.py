"""Glue on the array's own namespace, numpy or cupy: arithmetic with torch's promotion, foreign arrays, devices."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.arrays.exchange import entered
from pylayers.arrays.torch_tensors import TorchArray
from pylayers.errors import expected

Array = Any

# Types that `as_operand` leaves alone, asked first because it is called for every argument of every op.
PLAIN = frozenset((np.ndarray, int, float, bool, str, tuple, list, slice, type(None)))
quiet = np.errstate(all="ignore")  # a decorator: infinities and NaN are values here, not warnings

NUMBERS = frozenset((bool, int, float))
INTEGER_DIVISIONS = frozenset(("floor_divide", "remainder"))
# Where an integer that the dtype does not hold counts by its lowest bits, as in torch.
MODULAR = INTEGER_DIVISIONS | {"add", "subtract", "multiply", "bitwise_and", "bitwise_or", "bitwise_xor"}


class ShapeError(ValueError, RuntimeError):
    """A shape that does not fit, in torch's words: a ValueError as everywhere here, a RuntimeError as in torch."""


def as_operand(op: str, x: Any) -> Any:
    """An array of another library as a NumPy or CuPy array on the same memory; anything else as it is.

    TypeError for a torch tensor that requires grad: its history would be lost.
    """
    if type(x) in PLAIN or arrays.is_array(x):
        return x
    array = entered(op, x)[0]
    if isinstance(array, TorchArray) and has_cupy():
        return arrays.cupy_library().namespace.from_dlpack(x)  # which has all of NumPy's functions
    return array


@functools.cache
def has_cupy() -> bool:
    """Whether CuPy is installed."""
    return importlib.util.find_spec("cupy") is not None


def is_number(x: object) -> bool:
    """Whether x is a Python number, which promotes as torch's scalars do."""
    return isinstance(x, (bool, int, float))


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """x with the dtype; no copy where it has it already, Python numbers as they are."""
    return x if is_number(x) or x.dtype is dtype else x.astype(dtype, copy=False)


@quiet
def elementwise(name: str, *operands: Any, floating: bool = False, compares: bool = False) -> Array:
    """``numpy.<name>`` of arrays and Python numbers that broadcast, in the dtype torch would choose.

    `floating` turns integers into the default dtype first. 16-bit operands are computed in float32 and rounded once.
    ValueError for shapes that do not broadcast and for numbers out of range, TypeError for devices that differ,
    ZeroDivisionError for integers divided by zero.
    """
    dtype = common = _common_dtype(operands)
    if dtype is None:
        dtype = dtypes.result_type(name, *operands)
    if dtype not in dtypes.SUPPORTED:
        dtypes.require_supported(name, "input", dtype)
    computed = dtypes.get_default_dtype() if floating and dtype not in dtypes.FLOATING else dtype
    result = computed
    if computed in dtypes.HALVES:
        computed = dtypes.float32
    elif name in INTEGER_DIVISIONS and computed not in dtypes.FLOATING and not np.all(operands[1]):
        raise ZeroDivisionError(f"{name}: an integer is divided by zero")
    if computed is not common:
        operands = tuple([cast(value, computed) for value in _on_one_device(name, operands)])
    xp = arrays.namespace(next((x for x in operands if type(x) not in NUMBERS), None))
    try:
        y = getattr(xp, name)(*operands)
    except OverflowError as error:  # a Python integer
        number = next(x for x in operands if type(x) is int)
        if name not in MODULAR:
            raise expected(name, "other", f"a number that {computed.name} holds", f"{number!s:.40}") from error
        short = [dtypes.wrapped(name, x, computed) if x is number else x for x in operands]
        return elementwise(name, *short, floating=floating, compares=compares)
    except TypeError:
        if computed != dtypes.bool_:
            raise
        raise expected(name, "input", "numbers", "bool", "use ~ or logical_not for bool", TypeError) from None
    except ValueError as error:
        if "broadcast" not in str(error):
            raise
        first, *rest = [tuple(np.shape(x)) for x in operands]
        raise expected(name, "other", f"a shape that broadcasts with {first}", ", ".join(map(str, rest))) from None
    return y if compares or y.dtype is result else y.astype(result)


def _common_dtype(operands: tuple[Any, ...]) -> np.dtype[Any] | None:
    """The dtype of the result where nothing needs a cast, None where it takes the whole rule."""
    kind = dtype = None
    numbers = False
    for x in operands:
        if type(x) in NUMBERS:
            numbers = True
        elif not hasattr(x, "dtype"):
            return None
        elif kind is None:
            kind, dtype = type(x), x.dtype
        elif type(x) is not kind or x.dtype is not dtype:
            return None
    return dtype if not numbers or dtype in dtypes.FLOATING else None


def _on_one_device(name: str, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """The operands; a 0-dim array in host memory beside arrays in GPU memory becomes a number, as in torch."""
    if len({type(x) for x in operands if not is_number(x) and not isinstance(x, np.generic)}) < 2:
        return operands
    placed = tuple(x.item() if isinstance(x, np.ndarray) and x.ndim == 0 else x for x in operands)
    devices = {arrays.device(x) for x in placed if not is_number(x)}
    if len(devices) > 1:
        raise expected(name, "device", "all arrays on one device", " and ".join(sorted(devices)), error=TypeError)
    return placed


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which sums of such elements are taken."""
    if dtype in dtypes.HALVES:
        return dtypes.float32
    return dtype if dtype in dtypes.FLOATING else dtypes.int64


@quiet
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """The sum of x over the axes that broadcasting added to or stretched from `shape`."""
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    stretched = (extra + i for i, size in enumerate(shape) if size == 1 and x.shape[extra + i] != 1)
    axes = (*range(extra), *stretched)
    if not axes:
        return x
    y = x.sum(axis=axes, keepdims=True, dtype=accumulator(x.dtype)).astype(x.dtype, copy=False)
    return y.reshape(y.shape[extra:])


def to_device(x: Array, device: str) -> Array:
    """x on ``"cpu"``, ``"cuda"`` (the current GPU) or ``"cuda:<number>"``: itself if it lies there, else a copy."""
    home = arrays.library_of(device)
    if device in (arrays.device(x), "cuda") and arrays.library(x) is home:
        return x
    if device == "cpu":
        return x.get()
    with home.namespace.cuda.Device(int(device.partition(":")[2] or home.namespace.cuda.runtime.getDevice())):
        return home.namespace.array(x)
