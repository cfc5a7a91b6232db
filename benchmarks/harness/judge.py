"""What a contender's results and times must be like to count; `Rejected` says in words why they do not."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from statistics import median
from types import ModuleType

import numpy as np

from pylayers.arrays.torch_tensors import is_tensor

from . import bits
from .contract import Array, Deviation
from .places import HostPlace
from .results import Row
from .sets import Sets
from .threads import WAITS

SETTLE_S = 1e-3  # until threads of pools sleep
STILL = 0.1  # of a time in which nothing is called, threads may work
REMEMBERED = 1.5  # times as long on numbers that are new
# As they were before any contender was met.
CPU_SECONDS, OWN_SECONDS = time.process_time, time.thread_time
GRACE_S = 0.02  # after the device was idle, for work that somebody put off
LONGEST_WALL = 1.2  # times what the events say
WALL_SLACK_S = 20e-6  # per sample, for waking up after the wait
HOST_BOUND = 0.5  # from this share of the wall clock on, the host's launches are part of it


class Rejected(Exception):  # noqa: N818 - a verdict on a contender, not an error of the run
    """The contender's times do not count, and why."""


class Spoiled(Rejected):
    """It wrote to arguments: what others measured on them since the last look does not count either."""


def results_of(place: HostPlace, kept: Sequence[Array]) -> list[Array]:
    """What a call returned, as arrays of the place; Rejected where it is nothing, or no array yet."""
    for x in kept:
        if not (is_tensor(x) and x.device.type == place.name.partition(":")[0]) and not plain(place, x):
            raise Rejected(f"lazy output: a {type(x).__name__}, which is no array of memory")
    found = [place.array(x) for x in kept]
    if not found:
        raise Rejected("empty output: the call returned nothing")
    for x in found:
        if not x.size:
            raise Rejected(f"empty output: an array of shape {x.shape}")
    return found


def plain(place: HostPlace, x: object) -> bool:
    """Whether x is an array of the place's library itself, or of a torch that is on the same device."""
    return type(x) is place.xp.ndarray or isinstance(x, np.generic)


def keep_still(place: HostPlace, seconds: float) -> None:
    """Waits; Rejected where threads of this process work meanwhile, though nothing was called.

    Threads of pools go to sleep before, where the command has told them so (`threads`).
    """
    if place.device.asynchronous or not all(name in os.environ for name in WAITS):
        time.sleep(seconds)
        return
    time.sleep(SETTLE_S)
    before = CPU_SECONDS() - OWN_SECONDS()
    time.sleep(seconds)
    others = CPU_SECONDS() - OWN_SECONDS() - before
    if others > STILL * seconds:
        raise Rejected(f"background work: other threads were busy for {others:.3g} s while nothing was called")


def snapshot(place: HostPlace, results: Sequence[Array]) -> list[Array]:
    """A copy of the results as they are at once; Rejected if they still change after the device is idle."""
    copies = [bits.copy(x) for x in results]
    place.device.synchronize()
    keep_still(place, GRACE_S)
    place.device.synchronize()
    if not all(bits.equal(x, y) for x, y in zip(copies, results, strict=True)):
        raise Rejected("deferred work: the results changed after the call had returned and the device was idle")
    return copies


def look(results: Sequence[Array]) -> None:
    """Rejected for results that no mathematics gives."""
    total = sum(x.size for x in results)
    unwritten = sum(map(bits.poisoned, results))
    if unwritten:
        raise Rejected(f"empty output: {unwritten} of {total} elements were not written")
    nans = sum(map(bits.nans, results))
    if nans:
        raise Rejected(f"NaN output: {nans} of {total} elements")
    long = [x for x in results if x.size > 1]
    if long and all(map(bits.constant, long)):
        raise Rejected("constant output: every element is the same")


def compare(deviation: Deviation) -> None:
    """Rejected for an error beyond its bound; NaN is beyond every bound."""
    if not deviation.ratio <= 1:
        raise Rejected(f"wrong output: error {deviation.error:.3g} is {deviation.ratio:.3g} times its bound")


def leave_arguments(sets: Sets, turns: Iterable[int], most: int = 0) -> None:
    """Rejected for calls that wrote to their arguments, or to others; `most` as for `Sets.spoiled`."""
    name = sets.spoiled(turns, most)
    if name:
        raise Spoiled(f"changed its argument '{name}'")


def follow_arguments(before: Sequence[Array], after: Sequence[Array]) -> None:
    """Rejected for results that stayed although the arguments changed in their memory."""
    if all(bits.equal(x, y) for x, y in zip(before, after, strict=True)):
        raise Rejected("cached output: other numbers in the same memory gave the same results")


def tools(*modules: ModuleType) -> dict[tuple[ModuleType, str], object]:
    """What these modules are made of, to be compared later."""
    return {(module, name): value for module in modules for name, value in vars(module).items() if callable(value)}


def leave_tools(before: dict[tuple[ModuleType, str], object]) -> None:
    """Rejected for who replaced a clock or a part of the harness, which is put back."""
    changed = [(module, name) for (module, name), value in before.items() if vars(module).get(name) is not value]
    for module, name in changed:
        setattr(module, name, before[module, name])
    if changed:
        raise Rejected("turned the clock: replaced " + ", ".join(f"{m.__name__}.{name}" for m, name in changed))


def take_as_long_on_new_numbers(call_s: Sequence[float], fresh: Sequence[int]) -> None:
    """Rejected where the samples `fresh`, on numbers nobody had seen, took longer than the others: it remembers."""
    new = [call_s[i] for i in fresh]
    old = sorted(seconds for i, seconds in enumerate(call_s) if i not in set(fresh))
    # Of the others the first few may be as slow, which is when it met their numbers.
    if len(new) > 2 and old and min(new) > max(REMEMBERED * median(old), old[math.ceil(0.75 * len(old)) - 1]):
        raise Rejected(
            f"remembered output: {median(old):.3g} s a call on numbers that it had met, {median(new):.3g} s on others"
        )


def stay_on_stream(
    device_s: Sequence[float], wall_s: Sequence[float], host_s: Sequence[float], held_s: Sequence[float], calls: int
) -> None:
    """Rejected where the device was busy for longer than the stream was.

    `device_s` are of the same samples as `wall_s`; `held_s` of samples whose launches were all made beforehand.
    """
    wall, host, events = median(wall_s), median(host_s), median(device_s)
    if host < HOST_BOUND * wall and held_s:
        events = min(events, median(held_s))
    if wall > LONGEST_WALL * events + WALL_SLACK_S / calls:
        raise Rejected(
            f"side stream: the device was busy for {wall:.3g} s a call, {wall / max(events, 1e-12):.3g} times what its "
            "stream was"
        )


def keep_below(row: Row, call_s: float, least_s: float) -> None:
    """Rejected for a call that took less than `least_s`, where that is not 0: more than this machine can."""
    if call_s < least_s:
        raise Rejected(
            f"above the roofline: {call_s:.3g} s a call, but {row.flop} operations and {row.bytes} bytes take at "
            f"least {least_s:.3g} s here"
        )
