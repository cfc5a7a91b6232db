"""Matrix products with broadcast batches, alone or added to a matrix, each with its gradients, as one gemm on views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pylayers import arrays, backends, dtypes
from pylayers.arrays import foldable, folded
from pylayers.context import product_precision
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.array import elementwise, sum_to

Array = Any
# How many axes the arguments of torch's products of fixed rank have, and what they are called there.
RANKS: dict[str, dict[str, int]] = {
    "dot": {"input": 1, "other": 1},
    "mv": {"input": 2, "vec": 1},
    "mm": {"input": 2, "mat2": 2},
    "bmm": {"input": 3, "mat2": 3},
    "addmm": {"mat1": 2, "mat2": 2},
    "baddbmm": {"batch1": 3, "batch2": 3},
}


def matmul(a: Array, b: Array, op: str = "matmul") -> Array:
    """a (..., m, k) @ b (..., k, n) -> (..., m, n) with broadcast leading axes; a vector is a row on the left, a column
    on the right, and its axis is dropped from the result (torch.matmul). `op` may be one of fixed rank, as dot and bmm.

    Integers are multiplied as NumPy does. TypeError unless both have the same dtype, ValueError for another rank and
    when k or the leading axes disagree.
    """
    names = check_ranks(op, a, b)
    integers = is_integer(a) and is_integer(b)
    if not integers:
        checks.same_dtype(op, names[1], b, names[0], a)
    if a.ndim == 0 or b.ndim == 0:
        raise expected(op, names[int(a.ndim > 0)], "at least one axis", "a scalar")
    rows, columns = _matrices(a, b)
    if rows.shape[-1] != columns.shape[-2]:
        wanted = f"{rows.shape[-1]} rows as '{names[0]}' has columns"
        raise expected(op, names[1], wanted, f"shape {b.shape} for a {a.shape}")
    if integers:
        common_batch(rows, columns)
        return arrays.namespace(a).matmul(a, b)
    y = product(rows, columns)
    if a.ndim == 1:
        y = y[..., 0, :]
    return y[..., 0] if b.ndim == 1 else y


def matmul_backward(
    dy: Array, a: Array, b: Array, needs: tuple[bool, bool] = (True, True), alpha: float = 1.0
) -> tuple[Array | None, Array | None]:
    """The gradients of `alpha matmul` for a and b, summed over the axes along which each was broadcast."""
    rows, columns = _matrices(a, b)
    if b.ndim == 1:
        dy = dy[..., None]
    if a.ndim == 1:
        dy = dy[..., None, :]
    da = db = None
    if needs[0]:
        da = sum_to(product(dy, columns.swapaxes(-1, -2), alpha), rows.shape).reshape(a.shape)
    if needs[1]:
        if math.prod(columns.shape[:-2]) == 1:
            # A matrix shared by the whole batch: the batch joins the summed axis, one product and no sum after it.
            db = product(folded(rows).swapaxes(-1, -2), folded(dy), alpha).reshape(b.shape)
        else:
            db = sum_to(product(rows.swapaxes(-1, -2), dy, alpha), columns.shape).reshape(b.shape)
    return da, db


def add_matmul(op: str, x: Array, a: Array, b: Array, beta: float = 1, alpha: float = 1) -> Array:
    """beta x + alpha a @ b, where x broadcasts to the product: torch.addmm on matrices, torch.baddbmm on batches.

    With beta = 0 what x holds does not matter. TypeError unless all have one dtype, and for fractions beside integers.
    """
    names = check_ranks(op, a, b)
    integers = is_integer(x)
    for name, value in (("beta", beta), ("alpha", alpha)):
        if isinstance(value, bool) or not isinstance(value, int if integers else (int, float)):
            raise expected(op, name, "an integer beside integers" if integers else "a number", repr(value),
                           error=TypeError)  # fmt: skip
    if integers:
        checks.integer(op, names[0], a)
        checks.integer(op, names[1], b)
    else:
        checks.same_dtype(op, names[0], a, "input", x)
        checks.same_dtype(op, names[1], b, "input", x)
    if a.shape[-1] != b.shape[-2]:
        raise expected(op, names[1], f"{a.shape[-1]} rows as '{names[0]}' has columns", f"shape {b.shape}")
    shape = (*a.shape[:-1], b.shape[-1])
    xp = arrays.namespace(a)
    try:
        x = xp.broadcast_to(x, shape)
    except ValueError:
        raise expected(op, "input", f"a shape that broadcasts to {shape}", x.shape) from None
    if integers:
        y = alpha * xp.matmul(a, b)
        return y if beta == 0 else y + beta * x
    return product(a, b, alpha, None if beta == 0 else x, beta)


def add_matmul_backward(dy: Array, shape: tuple[int, ...], beta: float = 1) -> Array:
    """The gradient of `add_matmul` for x of this shape; that for a and b is `matmul_backward` with its alpha."""
    if shape and shape[-1] == math.prod(shape) == dy.shape[-1]:
        dx = backends.of("add_matmul", dy).column_sum(folded(dy)[:, :, None]).reshape(shape)
    else:
        dx = sum_to(dy, shape)
    return dx if beta == 1 else elementwise("multiply", dx, beta)


def _matrices(a: Array, b: Array) -> tuple[Array, Array]:
    return (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)


def check_ranks(op: str, a: Array, b: Array) -> tuple[str, ...]:
    """The names of the two arguments; ValueError unless they have the axes that `RANKS` says, batches of one size."""
    if op not in RANKS:
        return "a", "b"
    for (name, rank), x in zip(RANKS[op].items(), (a, b)):
        if not arrays.is_array(x):
            raise expected(op, name, "an array", type(x).__name__, error=TypeError)
        if x.ndim != rank:
            raise expected(op, name, "1 axis" if rank == 1 else f"{rank} axes", f"shape {x.shape}")
    names = tuple(RANKS[op])
    if a.ndim == 3 and a.shape[0] != b.shape[0]:
        raise expected(op, names[1], f"{a.shape[0]} matrices as '{names[0]}' has", f"shape {b.shape}")
    return names


def is_integer(x: Array) -> bool:
    """Whether x holds integers or bool, whose products need no kernel."""
    return getattr(x, "dtype", dtypes.float32) not in dtypes.FLOATING and x.dtype in dtypes.SUPPORTED


def product(a: Array, b: Array, alpha: float = 1.0, residual: Array | None = None, beta: float = 1.0) -> Array:
    """alpha a (..., m, k) @ b (..., k, n) + beta residual as one gemm; what is broadcast stays a view of stride 0.

    Leading axes become one; only where they have no common stride does that take a copy.
    """
    backend, precision = backends.of("matmul", a, b, residual), product_precision()
    m, n = a.shape[-2], b.shape[-1]
    if residual is None and a.ndim >= b.ndim and math.prod(b.shape[:-2]) == 1 and foldable(a):
        matrix = b if b.ndim == 2 else b.reshape(b.shape[-2:])
        y = backend.gemm(folded(a), matrix, alpha=alpha, precision=precision)
        return y if a.ndim == 2 else y.reshape(*a.shape[:-1], n)
    xp, batch = arrays.namespace(a), common_batch(a, b)
    count = math.prod(batch)
    a, b = (xp.broadcast_to(x, batch + x.shape[-2:]).reshape(count, *x.shape[-2:]) for x in (a, b))
    if residual is not None:
        residual = residual.reshape(count, m, n)
    y = backend.gemm(a, b, residual=residual, alpha=alpha, beta=beta, precision=precision)
    return y.reshape(*batch, m, n)


def common_batch(a: Array, b: Array) -> tuple[int, ...]:
    """The leading axes of the product; ValueError where those of a and b do not broadcast."""
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise expected("matmul", "b", f"leading axes that broadcast with {a.shape[:-2]}", f"{b.shape[:-2]}") from None
