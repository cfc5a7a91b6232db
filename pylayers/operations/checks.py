"""What ops check of their arguments: arrays, dtypes that agree, sizes for each spatial dimension, finite numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pylayers import arrays
from pylayers.backends.sizes import FLOATING
from pylayers.errors import expected

Array = Any

INTEGER = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


def floating(op: str, name: str, x: Array) -> None:
    """TypeError unless x is an array of a floating dtype in native byte order."""
    if not arrays.is_array(x):
        raise expected(op, name, "an array", type(x).__name__, error=TypeError)
    if x.dtype not in FLOATING:
        raise expected(op, name, "dtype float16, bfloat16, float32 or float64", x.dtype.str, error=TypeError)


def integer(op: str, name: str, x: Array, hint: str = "") -> None:
    """TypeError unless x is an array of integers."""
    if not arrays.is_array(x):
        raise expected(op, name, "an array of integers", type(x).__name__, hint, error=TypeError)
    if x.dtype.name not in INTEGER:
        raise expected(op, name, "integers", f"dtype {x.dtype.name}", hint, error=TypeError)


def same_dtype(op: str, name: str, x: Array, of_name: str, of: Array) -> None:
    """TypeError unless x is a floating array with the dtype of `of`, itself a floating array."""
    kind = type(x)
    if kind is type(of) and kind in arrays.libraries and x.dtype is of.dtype and x.dtype in FLOATING:
        return
    floating(op, of_name, of)
    floating(op, name, x)
    if x.dtype != of.dtype:
        hint = f"cast it: {name}.to(pylayers.{of.dtype.name}), or {name}.astype('{of.dtype.name}') of an array"
        raise expected(op, name, f"dtype {of.dtype.name} as '{of_name}' has", x.dtype.name, hint, error=TypeError)


def shape(op: str, name: str, x: Array, wanted: tuple[int, ...], hint: str = "") -> None:
    """ValueError unless x has exactly this shape."""
    if x.shape != wanted and tuple(x.shape) != tuple(wanted):
        raise expected(op, name, f"shape {tuple(wanted)}", tuple(x.shape), hint)


def whole(op: str, name: str, value: object, minimum: int) -> int:
    """The value as an int; TypeError for what is no integer (bool and 3.0 included), ValueError below the minimum."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise expected(op, name, "an integer", f"{value!r} of type {type(value).__name__}", error=TypeError)
    number = int(value.__index__())
    if number < minimum:
        raise expected(op, name, f"an integer >= {minimum}", number)
    return number


def sizes(op: str, name: str, value: object, rank: int, minimum: int) -> tuple[int, ...]:
    """One integer for each of `rank` spatial dimensions, from one integer for all or a sequence of them."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        numbers = tuple(value)
        if len(numbers) == 1:
            numbers *= rank
        if len(numbers) != rank:
            raise expected(op, name, f"one integer or {rank} of them", value)
    else:
        numbers = (value,) * rank
    return tuple(whole(op, name, number, minimum) for number in numbers)


def axis(op: str, name: str, value: object, rank: int) -> int:
    """The axis counted from the front; IndexError outside [-rank, rank). A scalar counts as rank 1, as in torch."""
    number = whole(op, name, value, -(2**63))
    rank = max(rank, 1)
    if not -rank <= number < rank:
        raise expected(op, name, f"an axis in [{-rank}, {rank - 1}]", number, error=IndexError)
    return number % rank


def number(op: str, name: str, value: object, low: float, high: float = math.inf, what: str = "") -> float:
    """The value as a float in [low, high); TypeError for what is no number, ValueError outside and for NaN."""
    if isinstance(value, str) or not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise expected(op, name, what or "a number", f"{value!r}", error=TypeError)
    converted = float(value)  # type: ignore[arg-type]
    if not low <= converted < high:
        raise expected(op, name, what or f"a number in [{low}, {high})", converted)
    return converted


def choice(op: str, name: str, value: object, choices: Iterable[str | None]) -> None:
    """ValueError, listing the choices, unless the value is one of them."""
    choices = tuple(choices)
    if value not in choices:
        raise expected(op, name, "one of " + ", ".join(map(repr, choices)), repr(value))
