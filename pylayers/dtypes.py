"""The dtypes of tensors, the default dtype, and torch's type promotion in one table."""

from __future__ import annotations

import contextlib
import math
from contextvars import ContextVar
from typing import Any

import ml_dtypes
import numpy as np

from pylayers.errors import expected

float16 = np.dtype(np.float16)
bfloat16 = np.dtype(ml_dtypes.bfloat16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
float8_e4m3fn = np.dtype(ml_dtypes.float8_e4m3fn)
float8_e5m2 = np.dtype(ml_dtypes.float8_e5m2)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)

DTYPES = {
    x.name: x
    for x in (
        bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, float8_e4m3fn, float8_e5m2
    )
}  # fmt: skip
SUPPORTED = frozenset(DTYPES.values())
FLOATING = frozenset((float16, bfloat16, float32, float64, float8_e4m3fn, float8_e5m2))
HALVES = frozenset((float16, bfloat16))  # computed in float32 and rounded once

_RANGES: dict[np.dtype[Any], tuple[float, float]] = {
    x: (-float(ml_dtypes.finfo(x).max), float(ml_dtypes.finfo(x).max)) if x in FLOATING
    else (int(np.iinfo(x).min), int(np.iinfo(x).max))
    for x in SUPPORTED - {bool_}
}  # fmt: skip
# torch's other names for the same dtypes.
ALIASES = {
    "half": float16, "float": float32, "double": float64,
    "short": int16, "int": int32, "long": int64, "bool": bool_,
}  # fmt: skip

_ORDER = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
_SHORT = dict(zip(["b1", "u1", "i1", "i2", "i4", "i8", "f2", "bf", "f4", "f8"], _ORDER, strict=True))
# torch.promote_types; rows and columns in the order above.
_PROMOTION = """
b1 u1 i1 i2 i4 i8 f2 bf f4 f8
u1 u1 i2 i2 i4 i8 f2 bf f4 f8
i1 i2 i1 i2 i4 i8 f2 bf f4 f8
i2 i2 i2 i2 i4 i8 f2 bf f4 f8
i4 i4 i4 i4 i4 i8 f2 bf f4 f8
i8 i8 i8 i8 i8 i8 f2 bf f4 f8
f2 f2 f2 f2 f2 f2 f2 f4 f4 f8
bf bf bf bf bf bf f4 bf f4 f8
f4 f4 f4 f4 f4 f4 f4 f4 f4 f8
f8 f8 f8 f8 f8 f8 f8 f8 f8 f8
"""
PROMOTION = {
    (row, column): _SHORT[cell]
    for row, line in zip(_ORDER, _PROMOTION.split("\n")[1:-1], strict=True)
    for column, cell in zip(_ORDER, line.split(), strict=True)
}

_default: ContextVar[np.dtype[Any]] = ContextVar("default_dtype", default=float32)


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of new floating tensors and of integers divided: float32 unless it was set."""
    return _default.get()


def set_default_dtype(dtype: Any) -> None:
    """Sets the default dtype for this thread or context; TypeError for what is not a floating dtype."""
    chosen = as_dtype("set_default_dtype", dtype)
    if chosen not in FLOATING:
        raise expected("set_default_dtype", "dtype", "a floating dtype", chosen.name, error=TypeError)
    _default.set(chosen)


def as_dtype(op: str, dtype: Any) -> np.dtype[Any]:
    """The dtype that a NumPy dtype, a type or a name such as ``"float32"`` stands for; TypeError if unsupported."""
    if isinstance(dtype, np.dtype):
        found = dtype
    else:
        try:
            found = DTYPES[dtype] if isinstance(dtype, str) else np.dtype(dtype)
        except (KeyError, TypeError):
            raise expected(op, "dtype", "one of " + ", ".join(DTYPES), repr(dtype), error=TypeError) from None
    if found not in SUPPORTED or dtype is None:
        raise expected(op, "dtype", "one of " + ", ".join(DTYPES), repr(dtype), error=TypeError)
    return found


def require_supported(op: str, name: str, dtype: Any) -> None:
    """TypeError for a dtype that no tensor has: complex numbers, objects, swapped bytes."""
    if dtype not in SUPPORTED:
        raise expected(op, name, "a dtype among " + ", ".join(DTYPES), dtype.str, "cast it with astype", TypeError)


def held(op: str, name: str, value: object, dtype: np.dtype[Any]) -> Any:
    """The number as the dtype holds it: integers cut off fractions, unsigned ones wrap negative numbers, as in torch.

    TypeError for what is no number, ValueError for a number out of the dtype's range.
    """
    number = value.item() if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 else value
    if not isinstance(number, (bool, int, float)):
        raise expected(op, name, "a number", f"{value!r:.40}", error=TypeError)
    if dtype == bool_:
        return bool(number)
    low, high = _RANGES[dtype]
    if low <= number <= high:
        return number if dtype in FLOATING else int(number)
    if dtype in FLOATING:
        with contextlib.suppress(OverflowError), np.errstate(over="ignore"):
            rounded = dtype.type(number).item()  # what is above the largest number may be rounded to it
            if math.isfinite(rounded) if math.isfinite(number) else str(rounded) == str(float(number)):
                return rounded
    elif low == 0 and -high <= number < 0:
        return int(number) % (int(high) + 1)
    raise expected(op, name, f"a number that {dtype.name} holds", f"{number!s:.40}")


def wrapped(op: str, value: int, dtype: np.dtype[Any]) -> int:
    """What arithmetic of an integer dtype takes an integer of up to 64 bits for: what its lowest bits say, as in torch.

    ValueError where that means nothing: for other dtypes and for longer integers.
    """
    if dtype in FLOATING or dtype == bool_ or not -(2**63) <= value < 2**64:
        raise expected(op, "other", f"a number that {dtype.name} holds", f"{value!s:.40}")
    low = int(np.iinfo(dtype).min)
    return (value - low) % 2 ** (8 * dtype.itemsize) + low


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype holds fractions, and so may carry a gradient."""
    return dtype in FLOATING


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype holds real numbers (bool included), of a kind that is supported or can be cast to one."""
    return dtype.kind in "biuf" or dtype in SUPPORTED


def promote_types(op: str, a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The smallest dtype that torch lets stand for both; TypeError for float8 with anything else."""
    if a == b:
        return a
    try:
        return PROMOTION[a, b]
    except KeyError:
        for dtype in (a, b):
            require_supported(op, "dtype", dtype)
        raise expected(op, "dtype", "dtypes with a common type", f"{a.name} and {b.name}", error=TypeError) from None


def scalar_dtype(op: str, x: object) -> np.dtype[Any]:
    """The dtype that a Python number counts as: bool, int64 or the default dtype."""
    if isinstance(x, bool):
        return bool_
    if isinstance(x, int):
        return int64
    if isinstance(x, float):
        return _default.get()
    raise expected(op, "other", "a tensor, an array or a number", type(x).__name__, error=TypeError)


def result_type(op: str, *operands: Any) -> np.dtype[Any]:
    """The dtype of the result of an elementwise op (torch.result_type).

    Operands are arrays and Python numbers. Arrays with axes decide; 0-dim arrays count only where they are of a higher
    category (bool < integer < floating) than those, and Python numbers only where they are of a higher one than both.
    """
    ranks: list[np.dtype[Any] | None] = [None, None, None]
    for x in operands:
        # numpy.float64 is a float too and, as in torch, counts as one.
        number = isinstance(x, float) or not hasattr(x, "dtype")
        rank = 2 if number else 0 if x.ndim else 1
        dtype = scalar_dtype(op, x) if number else x.dtype
        known = ranks[rank]
        ranks[rank] = dtype if known is None else promote_types(op, known, dtype)
    result = _combine(op, ranks[0], _combine(op, ranks[1], ranks[2]))
    assert result is not None
    return result


def _combine(op: str, higher: np.dtype[Any] | None, lower: np.dtype[Any] | None) -> np.dtype[Any] | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher in FLOATING:
        return higher
    return promote_types(op, higher, lower) if higher == bool_ or lower in FLOATING else higher
