"""Sums of products over named axes (torch.einsum): each pair of operands is one gemm on views of them.

The axes of a pair fall into four groups: in both and in the result (batch), in both and summed (k), in one only (m, n).
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pylayers import arrays, dtypes
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.array import accumulator, elementwise
from pylayers.operations.matmul import is_integer, product

Array = Any
Labels = str  # one letter for each axis
OP = "einsum"


class Terms(NamedTuple):
    """A parsed equation, its ellipsis spelled out: the labels of each operand and of the result."""

    operands: tuple[Labels, ...]
    result: Labels


class Arithmetic(NamedTuple):
    """What `evaluate` does with its operands, which may be plain arrays or tensors of the tape."""

    sum: Callable[[Any, tuple[int, ...]], Any]  # over axes
    squeeze: Callable[[Any, tuple[int, ...]], Any]
    permute: Callable[[Any, tuple[int, ...]], Any]
    contract: Callable[[Any, Any, Labels, Labels, Labels], Any]


def require_equation(equation: object) -> None:
    """TypeError for what is no text."""
    if not isinstance(equation, str):
        hint = "lists of axis numbers in place of letters are not there"
        raise expected(OP, "equation", "an equation such as 'ij,jk->ik'", type(equation).__name__, hint, TypeError)


def parse(equation: str, shapes: Sequence[tuple[int, ...]]) -> Terms:
    """The terms of the equation for operands of these shapes.

    ValueError for letters and ranks that do not fit; NotImplementedError for a letter repeated in one operand.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    words = left.split(",")
    if len(words) != len(shapes):
        raise expected(OP, "equation", f"terms for {len(shapes)} operands", f"{len(words)} in {equation!r}")
    for word in (*words, right):
        rest = word.replace("...", "", 1)
        if not all(letter in string.ascii_letters for letter in rest):
            raise expected(OP, "equation", "letters, one '...', ',' and '->'", repr(equation))
        if len(set(rest)) < len(rest) and word is not right:
            raise NotImplementedError(f"einsum: {word!r} in {equation!r} takes a diagonal, which is not there yet")
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    hidden = [len(shape) - len(word.replace("...", "")) for word, shape in zip(words, shapes)]
    for word, shape, extra in zip(words, shapes, hidden):
        if extra < 0 or (extra and "..." not in word):
            raise expected(OP, "equation", f"a letter for each axis of {shape}", f"{word!r} in {equation!r}")
    widest = max([extra for word, extra in zip(words, hidden) if "..." in word], default=0)
    if widest > len(spare):
        raise NotImplementedError(f"einsum: more than {len(string.ascii_letters)} axes are not there")
    dots = "".join(spare[:widest])
    terms = tuple(word.replace("...", dots[widest - extra :]) for word, extra in zip(words, hidden))
    if not arrow:  # torch: the dots, then every letter that appears once, in the order of the alphabet
        once = (letter for letter in sorted(set(left) - set(",.")) if left.count(letter) == 1)
        right = ("..." if dots else "") + "".join(once)
    result = right.replace("...", dots)
    if len(set(result)) < len(result) or not set(result) <= set("".join(terms)):
        raise expected(OP, "equation", "each letter of the result once, and in some operand", repr(equation))
    return Terms(terms, result)


def evaluate(terms: Terms, operands: Sequence[Any], do: Arithmetic) -> Any:
    """The result by products of two operands at a time, in the order that NumPy finds cheapest."""
    sizes: dict[str, int] = {}
    for labels, x in zip(terms.operands, operands):
        for label, size in zip(labels, x.shape):
            known = sizes.setdefault(label, size)
            if known == 1 or size == 1:
                sizes[label] = max(known, size) if size and known else 0
            elif known != size:
                wanted = f"axes of one name with one size, or 1; '{label}' has {known}"
                raise expected(OP, "operands", wanted, f"{size} in shape {tuple(x.shape)}")
    waiting = [_narrowed(x, labels, sizes, do) for x, labels in zip(operands, terms.operands)]
    for places in _path(terms, waiting, sizes):
        x, labels = waiting[places[0]]
        chosen = [waiting[place] for place in places[1:]]
        waiting = [term for place, term in enumerate(waiting) if place not in places]
        while chosen:
            other, others = chosen.pop(0)
            kept = set(terms.result).union(*(names for _, names in waiting + chosen))
            x, labels = _summed(x, labels, kept | set(others), do)
            other, others = _summed(other, others, kept | set(labels), do)
            out = "".join(label for label in dict.fromkeys(labels + others) if label in kept)
            x, labels = do.contract(x, other, labels, others, out), out
        waiting.append((x, labels))
    ((y, labels),) = waiting
    y, labels = _summed(y, labels, set(terms.result), do)
    return y if labels == terms.result else do.permute(y, tuple(labels.index(label) for label in terms.result))


def _narrowed(x: Any, labels: Labels, sizes: dict[str, int], do: Arithmetic) -> tuple[Any, Labels]:
    """Without the axes of size 1 whose name is longer elsewhere: those are broadcast."""
    axes = tuple(axis for axis, label in enumerate(labels) if x.shape[axis] != sizes[label])
    if not axes:
        return x, labels
    return do.squeeze(x, axes), "".join(label for axis, label in enumerate(labels) if axis not in axes)


def _summed(x: Any, labels: Labels, kept: set[str], do: Arithmetic) -> tuple[Any, Labels]:
    """Summed over the axes whose names nobody else needs."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in kept)
    if not axes:
        return x, labels
    return do.sum(x, axes), "".join(label for label in labels if label in kept)


def _path(terms: Terms, waiting: Sequence[tuple[Any, Labels]], sizes: dict[str, int]) -> Sequence[tuple[int, ...]]:
    if len(waiting) < 3:
        return [tuple(range(len(waiting)))]
    equation = ",".join(labels for _, labels in waiting) + "->" + terms.result
    shaped = [np.broadcast_to(np.float32(0), [sizes[label] for label in labels]) for _, labels in waiting]
    return np.einsum_path(equation, *shaped, optimize="greedy")[0][1:]


def contract(a: Array, b: Array, la: Labels, lb: Labels, out: Labels) -> Array:
    """The sum of a b over the names missing in `out`; every name stands in two of the three."""
    checks.same_dtype(OP, "operands[1]", b, "operands[0]", a)
    summed = [label for label in la if label in lb and label not in out]
    if not summed:
        return elementwise("multiply", _laid(a, la, out), _laid(b, lb, out))
    batch = [label for label in out if label in la and label in lb]
    rows = [label for label in out if label in la and label not in lb]
    columns = [label for label in out if label in lb and label not in la]
    sizes = dict(zip(la + lb, (*a.shape, *b.shape)))
    left = _grouped(a, la, batch, rows, summed)
    right = _grouped(b, lb, batch, summed, columns)
    made = [*batch, *rows, *columns]
    y = product(left, right).reshape([sizes[label] for label in made])
    return y.transpose([made.index(label) for label in out]) if made != list(out) else y


def contract_backward(
    dy: Array, a: Array, b: Array, la: Labels, lb: Labels, out: Labels, needs: tuple[bool, bool] = (True, True)
) -> tuple[Array | None, Array | None]:
    """The gradients of `contract` for a and b."""
    return (contract(dy, b, out, lb, la) if needs[0] else None), (contract(dy, a, out, la, lb) if needs[1] else None)


def _laid(x: Array, labels: Labels, out: Labels) -> Array:
    """x with its axes where they stand in `out`, and axes of size 1 for the others."""
    present = [label for label in out if label in labels]
    x = x.transpose([labels.index(label) for label in present])
    return x[tuple(slice(None) if label in labels else None for label in out)]


def _grouped(x: Array, labels: Labels, *groups: list[str]) -> Array:
    """x with its axes in this order, each group as one axis."""
    x = x.transpose([labels.index(label) for group in groups for label in group])
    sizes = iter(x.shape)
    return x.reshape([math.prod(next(sizes) for _ in group) for group in groups])


def einsum(equation: str, *operands: Array) -> Array:
    """Sums of products as the equation says, such as 'bij,bjk->bik'; '...' stands for axes that broadcast.

    Integers are left to NumPy. TypeError unless all have one dtype, ValueError for an equation that does not fit.
    """
    require_equation(equation)
    for index, x in enumerate(operands):
        if not arrays.is_array(x):
            raise expected(OP, f"operands[{index}]", "an array", type(x).__name__, error=TypeError)
    terms = parse(equation, [x.shape for x in operands])
    if all(is_integer(x) for x in operands):
        return integer_einsum(terms, operands)
    for index, x in enumerate(operands):
        checks.same_dtype(OP, f"operands[{index}]", x, "operands[0]", operands[0])
    return evaluate(terms, operands, PLAIN)


def integer_einsum(terms: Terms, operands: Sequence[Array]) -> Array:
    """The same of integers, on the arrays' own library."""
    dtype = dtypes.result_type(OP, *operands)
    equation = ",".join(terms.operands) + "->" + terms.result
    return arrays.namespace(operands[0]).einsum(equation, *(x.astype(dtype, copy=False) for x in operands))


def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    return x.sum(axis=axes, dtype=accumulator(x.dtype)).astype(x.dtype, copy=False)


PLAIN = Arithmetic(_sum, lambda x, axes: x.squeeze(axes), lambda x, axes: x.transpose(axes), contract)
