"""Large NumPy arrays in recycled memory: to map fresh pages costs more than most operations need to fill them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SMALLEST = 1 << 20  # bytes; the C library keeps smaller blocks by itself
MOST_IDLE = 1 << 28  # bytes that may wait for reuse

_idle: dict[int, list[np.ndarray]] = {}  # by size in bytes


class Block:
    """Memory that waits for reuse once the last array on it is gone."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, idle: dict[int, list[np.ndarray]] = _idle) -> None:
        # Runs at any moment and in any thread: each line is atomic, and no lock could be held here twice.
        idle.setdefault(self.memory.nbytes, []).append(self.memory)
        if sum(size * len(blocks) for size, blocks in list(idle.items())) > MOST_IDLE:
            idle.clear()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As `numpy.empty`; a large array may lie in the memory of an earlier one that is gone."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALLEST or dtype.hasobject:
        return np.empty(shape, dtype)
    try:
        memory = _idle[nbytes].pop()
    except (KeyError, IndexError):
        memory = np.empty(nbytes, np.uint8)
    return np.asarray(Block(memory)).view(dtype).reshape(shape)
