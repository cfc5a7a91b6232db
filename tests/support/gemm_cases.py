"""Matrix products to test: rows of the variant tables, operands of every layout, exact and float64 truth, bounds."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from subject import Subject

from pylayers import backends

Array = Any
reference = backends.load("reference")


class Row(NamedTuple):
    """A row of the tables of `csrc/gemm*.cu`: what two ways that operands may lie have in common."""

    name: str
    a: str
    b: str
    precision: str
    capability: int
    tile_m: int
    tile_n: int
    tile_k: int
    stages: int
    cluster: int
    shared_bytes: int

    def __str__(self) -> str:
        types = self.precision if self.precision == "tf32" else self.a if self.a == self.b else f"{self.a}-{self.b}"
        return f"{self.name}-{types}"

    @property
    def instruction_k(self) -> int:
        """The k of one matrix instruction; 1 for fused multiply-adds."""
        return 32 // np.dtype(self.a).itemsize if self.capability else 1

    @property
    def long_k(self) -> int:
        """So many that every stage is used more than twice."""
        return 2 * self.stages * self.tile_k + 1


@functools.cache
def rows(module: Any) -> tuple[Row, ...]:
    """The distinct variants: a name stands in its table once for each way that operands may lie."""
    return tuple(dict.fromkeys(Row(*(getattr(row, field) for field in Row._fields)) for row in module.variants("gemm")))


# -------------------------------------------------------------------------------------------------------- operands


def _at_offset(x: np.ndarray, elements: int) -> np.ndarray:
    memory = np.empty(x.size + elements, x.dtype)
    memory[elements:] = x.ravel()
    return memory[elements:].reshape(x.shape)


def _gapped(x: np.ndarray) -> np.ndarray:
    memory = np.empty([2 * n for n in x.shape], x.dtype)
    memory[:, ::2, ::2] = memory[:, 1::2, 1::2] = np.nan if x.dtype.kind not in "iu" else 113
    view = memory[(slice(None, None, 2),) * 3]
    view[...] = x
    return view


def _backwards(x: np.ndarray) -> np.ndarray:
    every = (slice(None, None, -1),) * 3
    return np.ascontiguousarray(x[every])[every]


def _padded(x: np.ndarray, columns: int) -> np.ndarray:
    memory = np.empty((x.shape[0], x.shape[1], x.shape[2] + columns), x.dtype)
    view = memory[:, :, : x.shape[2]]
    view[...] = x
    return view


def _aligned(x: np.ndarray) -> np.ndarray:
    """Rows that begin at multiples of 16 bytes."""
    return _padded(x, -x.shape[2] % (16 // x.itemsize))


def _batches_apart(x: np.ndarray) -> np.ndarray:
    """Rows that begin at multiples of 16 bytes in the first matrix, but an element more between matrices."""
    batches, rows, columns = x.shape
    width = columns + -columns % (16 // x.itemsize)
    memory = np.empty((batches, rows * width + 1), x.dtype)
    view = memory[:, :-1].reshape(batches, rows, width)[:, :, :columns]
    view[...] = x
    return view


def _swapped(layout: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: layout(np.ascontiguousarray(x.swapaxes(1, 2))).swapaxes(1, 2)


# (batches, rows, columns) in memory; those called aligned meet what TMA and 16-byte copies ask for.
ALIGNED: dict[str, Callable[[np.ndarray], np.ndarray]] = {"rows": _aligned, "columns": _swapped(_aligned)}
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **ALIGNED,
    "dense": np.ascontiguousarray,
    "dense_columns": _swapped(np.ascontiguousarray),
    "gaps": _gapped,
    "backwards": _backwards,
    "batches_apart": _batches_apart,
    "batches_of_columns_apart": _swapped(_batches_apart),
    "same_rows": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "same_columns": lambda x: np.broadcast_to(x[:, :, :1], x.shape),
    **{f"offset_{n}": functools.partial(lambda x, n: _at_offset(x, n), n=n) for n in range(1, 17)},
}


def put(x: np.ndarray, layout: str) -> np.ndarray:
    """The values of x in another layout; the broadcast ones change them."""
    return LAYOUTS[layout](x) if x.size else x


def serves(on: Subject, row: Row, a: Array, b: Array) -> bool:
    """Whether the variant takes operands that lie like these."""
    module = on.backend.module  # type: ignore[attr-defined]
    try:
        module.plan("gemm", [a, b], precision=row.precision, spec=module.device_spec(0), variant=row.name)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------- values


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, low: int = -4) -> np.ndarray:
    """Small integers, which every dtype holds exactly."""
    return rng.integers(low, 5, shape).astype(dtype)


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, precision: str = "float32") -> np.ndarray:
    """Zero-mean reals; for tf32 such that rounding leaves them alone."""
    if dtype == "int8":
        return rng.integers(-11, 12, shape).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    return round_to_tf32(x) if precision == "tf32" else x


def round_to_tf32(x: np.ndarray) -> np.ndarray:
    """float32 with 10 bits of mantissa, ties away from zero."""
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b in int64, for operands that hold integers."""
    return np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)


def output_dtypes(row: Row) -> list[str]:
    """What y may be."""
    if row.a == "int8":
        return ["int32", "float32", "bfloat16", "float16"]
    if row.a.startswith("float8"):
        return ["bfloat16", "float16", "float32"]
    return ["float32"] if row.a == "float32" else [row.a, "float32"]


# ----------------------------------------------------------------------------------------------------------- calls


def draw(row: Row, shape: tuple[int, int, int, int], seed: int = 0, low: int = -4) -> tuple[np.ndarray, np.ndarray]:
    """Integer operands (batches, m, k) and (batches, k, n)."""
    rng = np.random.default_rng(seed)
    batches, m, n, k = shape
    return integers(rng, (batches, m, k), row.a, low), integers(rng, (batches, k, n), row.b, low)


def call(on: Subject, row: Row, a: np.ndarray, b: np.ndarray, splits: int = 0, **options: Any) -> Any:
    """The product by this variant, k in so many parts if given."""
    variant = f"{row.name}*{splits}" if splits else row.name
    return on("gemm", a, b, precision=row.precision, variant=variant, **options)


def assert_exact(on: Subject, row: Row, a: np.ndarray, b: np.ndarray, what: str = "", **options: Any) -> None:
    """The product rounded once is what comes out."""
    got = call(on, row, a, b, **options)
    np.testing.assert_array_equal(got, product(a, b).astype(got.dtype), err_msg=f"{row} {what}")


def layouts_of(on: Subject, row: Row) -> list[tuple[str, str]]:
    """The aligned layouts of both operands that the variant takes."""
    a, b = draw(row, (1, 32, 32, 32))
    return [
        (left, right)
        for left, right in itertools.product(ALIGNED, repeat=2)
        if serves(on, row, put(a, left), put(b, right))
    ]
