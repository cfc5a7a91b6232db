"""What results are held against: float64 on samples of elements, and bounds on rounding that name each rounding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pylayers.arrays.torch_tensors import torch_dtype
from pylayers.dtypes import DTYPES

from . import bits
from .contract import Array, Deviation, Place

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8, "int32": 0.0}
U = UNIT["float32"]  # half a unit in the last place of 1, in which every contender has to add up
# What the array libraries compute with; other dtypes go through torch on a GPU.
NATIVE = frozenset(("float64", "float32", "float16", "int8", "int32", "int64"))


def wide(place: Place, x: Array, *index: Any) -> Array:
    """The chosen elements of x in float64, in a new array; without an index all of them."""
    if x.dtype.name in NATIVE:
        return x[index].astype(np.float64)
    chosen = bits.of(x)[index].view(x.dtype)
    return chosen.astype(np.float64) if place.xp is np else place.array(place.torch(chosen).double())


def rounded(place: Place, x: Array, dtype: str) -> Array:
    """x as an array of the dtype."""
    if place.xp is np or dtype in NATIVE:
        return x.astype(DTYPES[dtype])
    tensor = place.torch(x)
    return place.array(tensor.to(torch_dtype(DTYPES[dtype])))


def sample(place: Place, total: int, strips: int) -> Array:
    """Ascending int64 indices below `total`: the first, the last, and one at random of each of so many equal strips."""
    if total <= strips:
        return place.xp.arange(total)
    edges = place.xp.arange(strips + 1) * total // strips
    inside = edges[:-1] + place.integers((strips,), 2**62) % (edges[1:] - edges[:-1])
    inside[0], inside[-1] = 0, total - 1
    return inside


def sum_bound(xp: Any, total: Array, squares: Array, count: int, u: float = U) -> Array:
    """How far a sum t of n terms whose squares add up to `squares` may be off: 4 u sqrt(n) (sqrt(squares) + |t|)."""
    return 4 * u * count**0.5 * (xp.sqrt(squares) + xp.abs(total))


def growth(count: int) -> float:
    """The relative error of a sum of `count` terms of one sign, and of the functions applied to it."""
    return U * (16 + count**0.5)


def deviation(place: Place, parts: Iterable[tuple[Array, Array, Array]]) -> Deviation:
    """The worst of (result, truth, bound), all in float64. What is not finite is infinitely far from any truth."""
    xp, error, ratio = place.xp, 0.0, 0.0
    for got, want, bound in parts:
        if got.shape != want.shape:
            return Deviation(float("inf"), float("inf"))
        if want.size == 0:
            continue
        off = xp.abs(got - want)
        off = xp.where(xp.isfinite(off), off, xp.inf)
        error = max(error, float(off.max()))
        # Where nothing may be off the ratio is 0 or beyond everything; so it is where the bound itself is no number.
        allowed = xp.where(xp.isfinite(bound) & (bound > 0), bound, 1e-300)
        ratio = max(ratio, float((off / allowed).max()))
    return Deviation(error, ratio)


def results_of(place: Place, results: Sequence[Array], *expected: tuple[Sequence[int], str]) -> list[Array] | None:
    """The results as arrays of the place; None unless they are of these shapes and dtypes."""
    found = [place.array(x) for x in results]
    kinds = [(tuple(x.shape), x.dtype.name) for x in found]
    return found if kinds == [(tuple(shape), dtype) for shape, dtype in expected] else None


WRONG_FORM = Deviation(float("inf"), float("inf"))  # a result of another shape or dtype
