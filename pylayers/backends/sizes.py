"""Sizes and dtypes of results that every backend allocates by the same rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import dtypes
from pylayers.backends.contract import Pads, Sizes
from pylayers.errors import expected

EIGHT_BITS = frozenset((dtypes.float8_e4m3fn, dtypes.float8_e5m2))
FLOATING = dtypes.FLOATING - EIGHT_BITS  # what layers compute in; in native byte order
# What a product of such operands may be asked for; the first is what it is unless asked. Others keep their dtype.
PRODUCTS: dict[np.dtype[Any], tuple[np.dtype[Any], ...]] = {
    dtypes.float16: (dtypes.float16, dtypes.float32),
    dtypes.bfloat16: (dtypes.bfloat16, dtypes.float32),
    **dict.fromkeys(EIGHT_BITS, (dtypes.bfloat16, dtypes.float16, dtypes.float32)),
    dtypes.int8: (dtypes.int32,),
}
SCALED_INTEGERS = (dtypes.float32, dtypes.bfloat16, dtypes.float16)


def convolved(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """The spatial sizes of a convolution's result: (size + padding - dilation (kernel - 1) - 1) // stride + 1."""
    return tuple(
        (s + sum(p) - d * (r - 1) - 1) // t + 1
        for s, r, t, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def product_dtype(dtype: np.dtype[Any], out_dtype: Any = None, scaled: bool = False) -> np.dtype[Any]:
    """The dtype of a `gemm` of operands of this dtype; TypeError for an `out_dtype` that it cannot have.

    Integers stay exact int32 unless they are `scaled` or a float is asked for.
    """
    if out_dtype is None and dtype not in PRODUCTS:
        return dtype
    possible = PRODUCTS.get(dtype, (dtype,))
    if dtype == dtypes.int8:
        possible = SCALED_INTEGERS if scaled else (*possible, *SCALED_INTEGERS)
    wanted = possible[0] if out_dtype is None else np.dtype(out_dtype)
    if wanted not in possible:
        names = " or ".join(x.name for x in possible)
        raise expected("gemm", "out_dtype", f"{names} for {dtype.name} operands", wanted.name, error=TypeError)
    return wanted
