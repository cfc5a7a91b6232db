"""One thread for OpenBLAS while threads of our own share the work: two pools on the same cores wait for each other."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

# As NumPy's wheels and as systems name them; {} is "get" or "set".
NAMES = "scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads"

Counters = tuple[Callable[[], int], Callable[[int], None]]

_lock = threading.Lock()
_inside = 0  # blocks that hold BLAS at one thread
_before = 1  # its threads without them


@functools.cache
def counters() -> Counters | None:
    """What reads and what sets the number of threads of NumPy's OpenBLAS; None if its BLAS is another."""
    try:
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # symbols of what it is linked with are found too
    except (AttributeError, OSError):
        return None
    for name in NAMES:
        if hasattr(library, name.format("set")):
            return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS computes on the thread that calls it in this block, whichever threads are inside; a microsecond."""
    global _inside, _before
    found = counters()
    if found is None:
        yield
        return
    get, put = found
    with _lock:
        if _inside == 0:
            _before = get()
            put(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                put(_before)


def _forget() -> None:
    """In a child process, which has but one thread: nobody holds the lock or is inside."""
    global _lock, _inside
    _lock = threading.Lock()
    if _inside:
        _inside = 0
        found = counters()
        if found is not None:
            found[1](_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
