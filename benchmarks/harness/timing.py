"""Time of calls: on a device that works by itself between two events of its stream, and by the clock around it."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np

from .contract import Array, Call

CLOCK = time.perf_counter  # as it was before any contender was met
MOST_CALLS = 1000  # of one sample; about as many launches as a stream takes before the host waits
LONGEST_HOLD_S = 0.02
WAKING_S = 0.003
Mark = Any  # a point in a stream's work
Kept = dict[int, Sequence[Array]]  # the last results of each turn; under ~turn those of calls that were not timed


class Device(Protocol):
    """What computes: the host itself, or a GPU with its stream."""

    @property
    def asynchronous(self) -> bool:
        """Whether a call returns before its work is done."""

    def flush(self) -> None:
        """Leaves nothing of what was used before in the last cache."""

    def hold(self, seconds: float) -> None:
        """Keeps the stream busy, so that the work after it waits until all of it was launched."""

    def mark(self) -> Mark:
        """A point after the stream's work so far."""

    def seconds(self, start: Mark, end: Mark) -> float:
        """The time between two points that were passed."""

    def synchronize(self) -> None:
        """Waits until the whole device is idle, every stream of it."""

    def clock(self) -> float:
        """The host's clock in seconds."""


class HostDevice:
    """The CPU: a call that returned has done its work."""

    asynchronous = False

    def __init__(self, cache_bytes: int) -> None:
        self._parts = np.array_split(np.empty(2 * cache_bytes, np.uint8), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(len(self._parts))

    def flush(self) -> None:
        """By every core: one that slept would take milliseconds to wake when a call wants it."""
        list(self._pool.map(lambda part: part.fill(0), self._parts))

    def hold(self, seconds: float) -> None:
        """Nothing waits here."""

    def mark(self) -> Mark:
        return CLOCK()

    def seconds(self, start: Mark, end: Mark) -> float:
        return end - start

    def synchronize(self) -> None:
        """Nothing runs on."""

    def clock(self) -> float:
        return CLOCK()


class Sample(NamedTuple):
    """Seconds of one call, the mean over the calls between two readings."""

    device_s: float  # between two events of the stream
    wall_s: float  # by the host's clock, until the whole device was idle
    host_s: float  # until the calls had returned


def sample(
    device: Device, calls: Sequence[Call], turns: Sequence[int], hold_s: float = 0.0, warm: int | None = None
) -> tuple[Sample, Kept]:
    """Times `calls[turn]` for each turn, one after another; with `hold_s` only `device_s` means anything.

    Each turn keeps its last results, so that the memory of results is rotated as that of the arguments is. On the host
    the call `warm` comes before the clock is read: it brings code into the caches and wakes the threads of pools.
    """
    kept: Kept = {}
    collects = gc.isenabled()
    gc.disable()
    try:
        device.flush()
        if device.asynchronous:
            device.synchronize()
        elif warm is not None:
            wake(device, lambda: kept.update({~warm: calls[warm]()}))
        begin = device.clock()
        if hold_s:
            device.hold(hold_s)
        start = device.mark()
        for turn in turns:
            kept[turn] = calls[turn]()
        end = device.mark()
        returned = device.clock()
        device.synchronize()
        finished = device.clock()
    finally:
        if collects:
            gc.enable()
    seconds = device.seconds(start, end), finished - begin, returned - begin
    return Sample(*(s / len(turns) for s in seconds)), kept


def wake(device: Device, call: Callable[[], Any]) -> None:
    """Calls for a while: threads of a pool that slept come to run beside each other only after some milliseconds."""
    end = device.clock() + WAKING_S
    call()
    while device.clock() < end:
        call()


def calls_per_sample(call_s: float, sample_s: float, most: int = MOST_CALLS) -> int:
    """How many calls make a sample of about `sample_s` seconds."""
    return max(1, min(most, math.ceil(sample_s / max(call_s, 1e-9))))


def hold_for(host_s: float, calls: int) -> float:
    """How long the stream must wait for `calls` launches that take the host `host_s` each, with half as much again."""
    return min(LONGEST_HOLD_S, 20e-6 + 1.5 * host_s * calls)
