"""The parts of one operation on several threads; NumPy lets go of the interpreter while it computes.

Parts depend on sizes alone and write to places of their own, so results do not depend on the number of threads.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference import blas

FLAT_PART = 1 << 16  # elements of elementwise work at a time: 256 KiB, to stay in cache at few calls


def usable_cores() -> int:
    """What the C library's OpenMP would use: OMP_NUM_THREADS, or the cores this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_threads = usable_cores()


def set_num_threads(count: int) -> None:
    """How many threads an operation outside BLAS may use."""
    global _threads
    _threads = max(1, count)


@functools.cache
def workers(count: int) -> ThreadPoolExecutor:
    """Threads beside the caller's own, kept for the next operation."""
    return ThreadPoolExecutor(count, thread_name_prefix="pylayers")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a child process has none of its parent's threads


_own = threading.local()  # .working: whether this thread is inside a part, whose own operations it does alone


def run(work: Callable[[slice], None], parts: Iterable[slice]) -> None:
    """Calls `work` once for each part; products inside it stay on the thread that asks for them."""
    parts = list(parts)
    if len(parts) < 2 or getattr(_own, "working", False):
        for part in parts:
            work(part)
        return
    others = min(_threads, len(parts)) - 1
    waiting = iter(parts)

    def drain() -> None:
        _own.working = True
        try:
            for part in waiting:  # a list's iterator hands each part to one thread only
                work(part)
        finally:
            _own.working = False

    with blas.one_thread():
        # numpy.errstate is a context variable: each thread needs a copy of the caller's.
        pending = [workers(others).submit(contextvars.copy_context().run, drain) for _ in range(others)]
        try:
            drain()
        finally:
            for future in pending:
                if not future.cancel():  # a thread that has not begun by now has nothing left to do
                    future.result()


def parts(count: int, size: int, most: int) -> Iterator[slice]:
    """Slices that cover range(count), of at least one item and of at most `most` elements, `size` for each item."""
    step = max(1, most // max(size, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def elementwise(work: Callable[..., None], y: Array, *operands: Array) -> None:
    """Calls work(y, *operands) on flat pieces, if all lie in memory as dense y does; otherwise once on all of them."""
    order = arrays.memory_order(y)
    stored = [x.transpose(order) for x in (y, *operands)]
    if not all(x.flags.c_contiguous for x in stored):
        work(y, *operands)
        return
    flat = [x.reshape(-1) for x in stored]
    run(lambda part: work(*(x[part] for x in flat)), parts(y.size, 1, FLAT_PART))
