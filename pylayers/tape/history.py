"""What the tape keeps of a tensor's past: the changes of its memory in place, and where a saved array came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pylayers import arrays

if TYPE_CHECKING:
    from pylayers.tape.record import Record
    from pylayers.tape.tensor import Tensor

Array = Any
DETACHED = -1  # the history of a tensor that has none to go stale


class Version:
    """Counts the in-place changes of one piece of memory; shared by all tensors that are views of it."""

    def __init__(self) -> None:
        self.changes = 0
        self.recorded = 0  # how many of them the tape knows: those make the history of the other views stale


def begin(x: Tensor, array: Array, node: Record | None = None) -> Tensor:
    """x as the result of a record, or as a leaf. What every call asks is kept in x, found sooner than in its class."""
    x.array = array
    x.grad_fn = node
    x._requires_grad = node is not None
    x._version = None
    x.output_index = x.history = 0
    return x


def root_of(x: Array) -> Array:
    """The array that owns the memory of x."""
    while type(x.base) is type(x):
        x = x.base
    return x


def seen(saved: Array, known: list[Tensor]) -> tuple[Version, int] | None:
    """The version of what is saved, if it lies in the memory of a known tensor."""
    if isinstance(saved, np.generic) or not arrays.is_array(saved):
        return None
    root = root_of(saved)
    for x in known:
        if root_of(x.array) is root:
            return x.version, x.version.changes
    return None
