"""What attention and its gradients should be, on rows of some heads: float64, and how far float32 in its place is off.

A result may be off by twice (gradients: three times) the error of the same formulas in the same precision: float32, and
weights and their gradients rounded to the dtype of the operands where a product takes them. Errors are counted in units
of sqrt(sum of squared terms + result^2), which neither a long row nor one of few keys makes meaningless. Held against
each other are the worst element, and the worst root mean square of a row. The order of summation is free: n terms may
add u sqrt(n).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...harness import truth
from ...harness.contract import Array, Arrays, Case, Place

HEADS, ROWS = 3, 48
FLOOR = 2.0**-22  # two units in the last place, for where the reference happens to be exact
Part = tuple[Array, Array, Array]


def seen(case: Case, xp: Any, rows: Array, columns: Array) -> Array:
    """Which queries (r,) see which keys (c,)."""
    p, rows = case.params, rows[:, None]
    mask = xp.ones((rows.shape[0], columns.shape[0]), bool)
    if p["causal"]:
        mask &= columns <= rows
    if p["window"]:
        mask &= columns > rows - p["window"]
    if p["lengths"]:
        ends = xp.asarray(p["lengths"]).cumsum()
        mask &= xp.searchsorted(ends, rows, side="right") == xp.searchsorted(ends, columns, side="right")
    return mask


class Arithmetic(NamedTuple):
    """In which numbers the formulas are computed."""

    place: Place
    dtype: str  # of every step
    operand: str  # of what a second product takes

    def take(self, x: Array) -> Array:
        """Numbers as the steps take them."""
        return x.astype(self.dtype)

    def rounded(self, x: Array) -> Array:
        """Numbers as a product takes them."""
        if self.operand == self.dtype:
            return x
        return truth.wide(self.place, truth.rounded(self.place, x, self.operand)).astype(self.dtype)


def both(case: Case, place: Place) -> tuple[Arithmetic, Arithmetic]:
    """The truth's, and the contenders'."""
    return Arithmetic(place, "float64", "float64"), Arithmetic(place, "float32", case.dtype)


def compared(case: Case, place: Place, factor: float, terms: int, gathered: list[tuple[Array, ...]]) -> Iterator[Part]:
    """For (got, want, own, squares) of several heads the elements and their bounds, and each row's root mean square."""
    xp, floor = place.xp, FLOOR + truth.U * terms**0.5
    got, want, own, squares = (xp.concatenate(same) for same in zip(*gathered, strict=True))
    own = truth.wide(place, truth.rounded(place, own, case.dtype))
    unit = xp.sqrt(squares + want * want) + 1e-300
    error, off = (got - want) / unit, (own - want) / unit
    yield got, want, (factor * float(abs(off).max()) + floor) * unit
    error, off = (xp.sqrt((x * x).mean(axis=-1)) for x in (error, off))
    smallest = unit.min(axis=-1)  # so that no row seems farther off than its worst element
    yield error * smallest, xp.zeros_like(error), (factor * float(off.max()) + floor) * smallest


def chosen_heads(place: Place, batch: int, heads: int, rows: int) -> list[tuple[int, int]]:
    """The first, the last and one between; more of them where each has few rows."""
    count = HEADS * max(1, ROWS // max(rows, 1))
    return [divmod(int(i), heads) for i in truth.sample(place, batch * heads, count)]


def output(a: Arithmetic, q: Array, k: Array, v: Array, mask: Array, scale: float) -> tuple[Array, Array]:
    """o (r, d) and the weights (r, t)."""
    xp = a.place.xp
    score = xp.where(mask, a.take(q) @ a.take(k).T * a.take(xp.asarray(scale)), -math.inf)
    weight = xp.exp(score - score.max(axis=1, keepdims=True))
    total = weight.sum(axis=1, keepdims=True)
    return a.rounded(weight) @ a.take(v) / total, weight / total


def forward_parts(case: Case, place: Place, x: Arrays, results: list[Array]) -> Iterator[Part]:
    """Rows of o."""
    p, xp = case.params, place.xp
    gathered: list[tuple[Array, ...]] = []
    for b, h in chosen_heads(place, p["batch"], p["heads"], p["queries"]):
        rows, group = truth.sample(place, p["queries"], ROWS), p["heads"] // p["kv_heads"]
        q = truth.wide(place, x["q"][b, h], rows)
        k, v = (truth.wide(place, x[key][b, h // group]) for key in ("k", "v"))
        mask = seen(case, xp, rows, xp.arange(p["keys"]))

        (want, weight), (own, _) = (output(a, q, k, v, mask, p["head"] ** -0.5) for a in both(case, place))
        gathered.append((truth.wide(place, results[0][b, h], rows), want, own, weight**2 @ v**2))
    return compared(case, place, 2, p["keys"], gathered)


class Block(NamedTuple):
    """Queries (r, d) with what belongs to them, keys and values (c, d), and who sees whom, in float64."""

    q: Array
    do: Array
    o: Array
    lse: Array  # (r,)
    k: Array
    v: Array
    mask: Array  # (r, c)

    def weights(self, a: Arithmetic, scale: float) -> tuple[Array, Array, Array]:
        """p, ds and the size of ds before anything cancelled, each (r, c)."""
        q, do, o, lse, k, v = map(a.take, self[:6])
        score = a.place.xp.where(self.mask, q @ k.T * a.take(a.place.xp.asarray(scale)) - lse[:, None], -math.inf)
        weight, dweight, delta = a.place.xp.exp(score), do @ v.T, (do * o).sum(axis=1, keepdims=True)
        size = weight * (abs(dweight) + abs(delta)) * scale
        return a.rounded(weight), a.rounded(weight * (dweight - delta)) * a.take(a.place.xp.asarray(scale)), size


def gradient_parts(case: Case, place: Place, x: Arrays, results: list[Array]) -> Iterator[Part]:
    """Rows of dq of some heads, and of dk and dv of some heads of keys."""
    p, xp = case.params, place.xp
    scale, group = p["head"] ** -0.5, p["heads"] // p["kv_heads"]
    queries, keys = xp.arange(p["queries"]), xp.arange(p["keys"])
    exact, same = both(case, place)

    def block(b: int, h: int, rows: Array, columns: Array) -> Block:
        q, do, o, lse = (truth.wide(place, x[key][b, h], rows) for key in ("q", "do", "o", "lse"))
        k, v = (truth.wide(place, x[key][b, h // group], columns) for key in ("k", "v"))
        return Block(q, do, o, lse, k, v, seen(case, xp, rows, columns))

    gathered: dict[str, list[tuple[Array, ...]]] = {"dq": [], "dk": [], "dv": []}
    for b, h in chosen_heads(place, p["batch"], p["heads"], p["queries"]):
        rows = truth.sample(place, p["queries"], ROWS)
        part = block(b, h, rows, keys)
        _, ds, size = part.weights(exact, scale)
        own = part.weights(same, scale)[1] @ same.take(part.k)
        got = truth.wide(place, results[0][b, h], rows)
        gathered["dq"].append((got, ds @ part.k, own, size**2 @ part.k**2))

    for b, shared in chosen_heads(place, p["batch"], p["kv_heads"], p["keys"]):
        columns = truth.sample(place, p["keys"], ROWS)
        shape = (2, 3, columns.shape[0], p["head"])  # of dk and of dv: the truth, own, and squares
        sums = xp.zeros(shape)
        for h in range(shared * group, (shared + 1) * group):
            part = block(b, h, queries, columns)
            weight, ds, size = part.weights(exact, scale)
            own_weight, own_ds, _ = part.weights(same, scale)
            sums[0] += xp.stack((ds.T @ part.q, own_ds.T @ same.take(part.q), size.T**2 @ part.q**2))
            sums[1] += xp.stack((weight.T @ part.do, own_weight.T @ same.take(part.do), weight.T**2 @ part.do**2))
        for key, result, sum_of in zip(("dk", "dv"), results[1:], sums, strict=True):
            gathered[key].append((truth.wide(place, result[b, shared], columns), *sum_of))
    return itertools.chain.from_iterable(
        compared(case, place, 3, p["keys"] if key == "dq" else p["queries"] * group, each)
        for key, each in gathered.items()
    )
