"""Large host arrays in recycled memory."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from pylayers import arrays
from pylayers.arrays import host_memory

LARGE = (host_memory.SMALLEST // 4, 2)


@pytest.fixture(autouse=True)
def _nothing_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    host_memory._idle.clear()


def address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def test_memory_is_reused_only_after_the_last_view_is_gone() -> None:
    x = host_memory.empty(LARGE, np.float32)
    assert x.shape == LARGE and x.dtype == np.float32 and x.flags.c_contiguous and x.flags.writeable
    where, view = address(x), x.reshape(-1)[5:].view(np.int32).T
    del x
    other = host_memory.empty(LARGE, np.float32)
    assert address(other) != where
    view[...] = 7
    other.fill(0)
    assert (view == 7).all()
    del view
    again = host_memory.empty((*LARGE, 1), np.int32)  # the same bytes under another shape and dtype
    assert address(again) == where


def test_arrays_at_the_same_time_never_overlap() -> None:
    many = [host_memory.empty(LARGE, np.float32) for _ in range(8)]
    del many[2:5]
    many += [host_memory.empty(LARGE, np.float32) for _ in range(5)]
    for i, x in enumerate(many):
        x.fill(i)
    assert [float(x.min()) for x in many] == [float(x.max()) for x in many] == list(range(10))


def test_idle_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "MOST_IDLE", 3 * host_memory.SMALLEST * 2)
    many = [host_memory.empty(LARGE, np.float32) for _ in range(9)]
    del many
    waiting = sum(size * len(blocks) for size, blocks in host_memory._idle.items())
    assert waiting <= host_memory.MOST_IDLE


def test_small_arrays_and_objects_come_from_numpy() -> None:
    assert host_memory.empty((3, 4), np.float64).base is None
    assert host_memory.empty(LARGE, object).base is None
    assert host_memory.empty((0, 10**9), np.float32).shape == (0, 10**9)


def test_16_bit_types_and_memory_orders_through_arrays() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.moveaxis(np.zeros((64, 40, 40, 8), ml_dtypes.bfloat16), -1, 1)
    y = arrays.empty_like(x, dtype=ml_dtypes.bfloat16)
    assert y.dtype == x.dtype and y.strides == x.strides


def test_many_threads_share_it() -> None:
    wrong: list[int] = []

    def work(mine: int) -> None:
        for _ in range(50):
            x = host_memory.empty(LARGE, np.int32)
            x.fill(mine)
            if not (x == mine).all():
                wrong.append(mine)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
