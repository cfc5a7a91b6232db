"""Large NumPy arrays in recycled memory: to map fresh pages costs more than most operations need to fill them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

SMALLEST = 1 << 20  # bytes; the C library keeps smaller blocks by itself
ALIGNMENT = 64  # bytes: a cache line, and the longest vector, which two lines would slow down
MOST_IDLE = 1 << 28  # bytes that may wait for reuse

Allocator = Callable[[tuple[int, ...], Any], np.ndarray]

_idle: dict[int, list[np.ndarray]] = {}  # by size in bytes
_allocator: ContextVar[Allocator | None] = ContextVar("allocator", default=None)


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


@contextlib.contextmanager
def allocated_by(allocator: Allocator | None) -> Iterator[None]:
    """New arrays of the block come from here, where a caller wants results in memory of another library."""
    token = _allocator.set(allocator)
    try:
        yield
    finally:
        _allocator.reset(token)


def empty(shape: tuple[int, ...], dtype: Any, device: str = "cpu") -> np.ndarray:
    """As `numpy.empty` on the only device; a large array may lie in the memory of an earlier one that is gone."""
    allocator = _allocator.get()
    if allocator is not None:
        return allocator(shape, dtype)
    y = np.empty(shape, dtype)  # of whose pages none is mapped before it is written
    if y.nbytes < SMALLEST or y.dtype.hasobject:
        return y
    try:
        memory = _idle[y.nbytes].pop()
    except (KeyError, IndexError):
        memory = np.empty(y.nbytes + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        memory = memory[start : start + y.nbytes]
    return np.asarray(Block(memory)).view(y.dtype).reshape(shape)
