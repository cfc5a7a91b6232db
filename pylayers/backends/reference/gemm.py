"""y = activation(alpha a @ b + bias + beta residual) on BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.backends.contract import Activation, Array, Precision
from pylayers.backends.reference.activation import activate, differentiate
from pylayers.backends.reference.column_sum import sum_columns
from pylayers.backends.reference.parallel import elementwise
from pylayers.backends.reference.precision import cast_to, widened
from pylayers.backends.reference.products import matmul
from pylayers.backends.reference.rows import by_rows
from pylayers.backends.sizes import FLOAT8
from pylayers.errors import expected

# What a product of such operands may be asked for; the first is what it is unless asked. Others keep their dtype.
PRODUCTS: dict[np.dtype[Any], tuple[np.dtype[Any], ...]] = {
    dtypes.float16: (dtypes.float16, dtypes.float32),
    dtypes.bfloat16: (dtypes.bfloat16, dtypes.float32),
    **dict.fromkeys(FLOAT8, (dtypes.bfloat16, dtypes.float16, dtypes.float32)),
    dtypes.int8: (dtypes.int32,),
}
SCALED_INTEGERS = (dtypes.float32, dtypes.bfloat16, dtypes.float16)
LONGEST_INT8 = 2**17 - 1  # elements of -128 each whose squares still add up to an int32


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


def blas_matrix(x: Array) -> Array:
    """x (b, m, n), copied if BLAS cannot read its matrices in place (NumPy would multiply without BLAS)."""
    rows, columns = x.strides[-2] // x.itemsize, x.strides[-1] // x.itemsize
    m, n = x.shape[-2:]
    readable = (columns == 1 and rows >= n) or (rows == 1 and columns >= m)
    return x if readable else np.ascontiguousarray(x)


def gemm(
    a: Array,
    b: Array,
    bias: Array | None = None,
    activation: Activation | None = None,
    *,
    residual: Array | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    scale_a: Array | None = None,
    scale_b: Array | None = None,
    saved: Array | None = None,
    out_dtype: Any = None,
    precision: Precision = "float32",
    column_sums: bool = False,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> Any:
    """As `contract.Backend.gemm`; y is C-contiguous and float32 products are never less than float32."""
    a, b = a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b
    scaled = scale_a is not None or scale_b is not None
    dtype = product_dtype(a.dtype, out_dtype, scaled)
    if dtype == np.int32:
        if not (bias is residual is saved is activation is None and alpha == 1 and not column_sums):
            raise NotImplementedError("gemm: exact int32 products have no epilogue; ask for a float out_dtype")
        return integer_product(a, b, dtype)
    with np.errstate(all="ignore"):  # NaN and infinity propagate; they are answers, not accidents
        y = product(a, b)
        if alpha != 1:
            y *= alpha
        if scale_a is not None:
            y *= scale_a[:, None]
        if scale_b is not None:
            y *= scale_b
        if bias is not None:
            wide = widened(bias)
            by_rows(lambda y: np.add(y, wide, out=y), y.reshape(-1, y.shape[-1]))
        if residual is not None:
            y += widened(residual) if beta == 1 else beta * widened(residual)
        if activation is not None and saved is not None:
            differentiate(y, y, widened(saved), activation)
        elif activation is not None:
            elementwise(lambda y: activate(y, activation, y), y)
        sums = sum_columns(y.reshape(-1, y.shape[-1], 1)) if column_sums else None
        if y.dtype != dtype:
            y = cast_to(y, dtype)
    return (y, sums) if column_sums else y


def linear(x: Array, weight: Array, bias: Array | None, activation: Activation | None, precision: Precision) -> Array:
    """As `contract.Backend.linear`."""
    if x.ndim == 3 and not arrays.foldable(x):  # as it lies, each batch by the same weight
        weight = np.broadcast_to(weight, (x.shape[0], *weight.shape))
        return gemm(x, weight, bias, activation, precision=precision, transpose_b=True)
    y = gemm(arrays.folded(x), weight, bias, activation, precision=precision, transpose_b=True)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def product(a: Array, b: Array) -> Array:
    """a @ b in a new array of the dtype in which it is computed: float64, or float32 for all that is narrower."""
    dtype = a.dtype if a.dtype.itemsize == 8 else np.dtype(np.float32)
    if a.dtype == np.int8:
        return integer_product(a, b, dtype)
    y = arrays.library(a).empty((*a.shape[:-1], b.shape[-1]), dtype, arrays.device(a))
    a, b = (blas_matrix(x if x.dtype == dtype else cast_to(x, dtype)) for x in (a, b))
    matmul(a, b, y)
    return y


def integer_product(a: Array, b: Array, dtype: Any) -> Array:
    """The exact a @ b of int8, rounded once where dtype is float32: float64 holds sums of 2^39 such products."""
    if dtype == np.int32 and a.shape[-1] > LONGEST_INT8:
        what = f"at most {LONGEST_INT8} columns, whose products int32 can hold"
        raise expected("gemm", "a", what, a.shape[-1], error=NotImplementedError)
    return product(cast_to(a, np.float64), cast_to(b, np.float64)).astype(dtype)
