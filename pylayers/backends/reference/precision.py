"""What every reference operation does before and after its formula: working precision, dense operands, masks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array

F = TypeVar("F", bound=Callable[..., Any])


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether the dtype is float16 or bfloat16, which compute in float32."""
    return dtype.itemsize == 2 and dtype.name in ("float16", "bfloat16")


def cast_to(x: Array, dtype: Any) -> Array:
    """A copy of x in another dtype and the same memory order."""
    y = arrays.empty_like(x, dtype=dtype)
    y[...] = x
    return y


def operation(rounded: int = 1) -> Callable[[F], F]:
    """Runs a formula quietly on float32 copies of its 16-bit arguments and rounds its first `rounded` outputs once.

    The outputs after those (means, log-sum-exp, ...) are what a backward pass starts from and stay in float32.
    """

    def decorate(formula: F) -> F:
        @functools.wraps(formula)
        def run(*args: Any, **kwargs: Any) -> Any:
            half = [x.dtype for x in (*args, *kwargs.values()) if isinstance(x, np.ndarray) and is_half(x.dtype)]
            with np.errstate(all="ignore"):  # NaN and infinity propagate; they are answers, not accidents
                if not half:
                    return formula(*args, **kwargs)
                y = formula(*map(widened, args), **{name: widened(x) for name, x in kwargs.items()})
                if not isinstance(y, tuple):
                    return cast_to(y, half[0])
                return *(cast_to(part, half[0]) for part in y[:rounded]), *y[rounded:]

        return cast(F, run)

    return decorate


def widened(x: Any) -> Any:
    """A 16-bit array as float32; anything else as it is."""
    return cast_to(x, np.float32) if isinstance(x, np.ndarray) and is_half(x.dtype) else x


def dense(x: Array) -> Array:
    """x itself if its elements fill one block of memory in some order of the axes, else a copy that does."""
    if x.flags.c_contiguous or x.transpose(arrays.memory_order(x)).flags.c_contiguous:
        return x
    return cast_to(x, x.dtype)


def keep(x: Array, mask: Array, out: Array | None = None) -> Array:
    """x where the mask is true, else 0 (also for NaN and infinity): by bits, much quicker than `numpy.where`."""
    out = np.empty_like(x) if out is None else out
    integer = f"i{x.itemsize}"
    ones = np.negative(mask.view(np.int8)).astype(integer)
    np.bitwise_and(x.view(integer), ones, out=out.view(integer))
    return out
