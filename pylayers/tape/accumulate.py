"""Adds a gradient to `grad` of a tensor: taken as it is where nobody else can see its memory, otherwise copied.

A gradient travels in a list of one, so that its references can be counted.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.errors import expected
from pylayers.tape.tensor import Hook, Tensor

Array = Any
# Backward passes may run in several threads into one parameter; reentrant, for the garbage collector may run another.
adding = threading.RLock()


def run_hooks(hooks: Sequence[Hook] | None, held: list[Array]) -> None:
    """Calls the hooks with the gradient in the list, which each may replace."""
    for hook in hooks or ():
        replaced = hook(Tensor(held[0]))
        if replaced is not None:
            if replaced.shape != held[0].shape:
                raise expected("register_hook", "hook", f"a gradient of shape {held[0].shape}", replaced.shape)
            held[0] = replaced.array


def accumulate(x: Tensor, held: list[Array]) -> None:
    """Adds to x.grad, which owns its memory: a new gradient is taken as it is if nobody else can see it."""
    with adding:
        if x._grad is not None:
            x._grad.array += held[0]
            x._grad.version.changes += 1
        elif _is_unshared(held) and held[0].strides == x.array.strides:
            x._grad = Tensor(held[0])
        else:
            copied = arrays.empty_like(x.array)
            copied[...] = held[0]
            x._grad = Tensor(copied)


def _references(held: list[Array]) -> tuple[int, int]:
    return sys.getrefcount(held[0]), sys.getrefcount(held[0].base)


# Counted rather than written down: interpreters differ in how many references a call itself holds.
_ALONE = _references([np.empty((2, 2))[:]])


def _is_unshared(held: list[Array]) -> bool:
    """Whether the array in the list, and the memory it may be a view of, are known to nobody else."""
    references, base_references = _references(held)
    if references != _ALONE[0] or held[0].base is None:
        return references == _ALONE[0]
    owner = held[0].base
    whole = type(owner) is type(held[0]) and owner.base is None and owner.size == held[0].size
    return whole and base_references == _ALONE[1]
