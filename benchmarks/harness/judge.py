"""What a contender's results and times must be like to count; `Rejected` says in words why they do not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median

from . import bits
from .contract import Array, Deviation
from .places import HostPlace
from .results import Row
from .sets import Sets

GRACE_S = 0.02  # after the device was idle, for work that somebody put off
LONGEST_WALL = 1.2  # times what the events say
WALL_SLACK_S = 20e-6  # per sample, for waking up after the wait
HOST_BOUND = 0.5  # from this share of the wall clock on, the host's launches are part of it


class Rejected(Exception):  # noqa: N818 - a verdict on a contender, not an error of the run
    """The contender's times do not count, and why."""


class Spoiled(Rejected):
    """It wrote to arguments: what others measured on them since the last look does not count either."""


def results_of(place: HostPlace, kept: Sequence[Array]) -> list[Array]:
    """What a call returned, as arrays of the place; Rejected where it is nothing."""
    found = [place.array(x) for x in kept]
    if not found:
        raise Rejected("empty output: the call returned nothing")
    for x in found:
        if not x.size:
            raise Rejected(f"empty output: an array of shape {x.shape}")
    return found


def snapshot(place: HostPlace, results: Sequence[Array]) -> list[Array]:
    """A copy of the results as they are at once; Rejected if they still change after the device is idle."""
    copies = [bits.copy(x) for x in results]
    place.device.synchronize()
    time.sleep(GRACE_S)
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


def leave_arguments(sets: Sets, turns: Iterable[int]) -> None:
    """Rejected for calls that wrote to their arguments, or to others."""
    name = sets.spoiled(turns)
    if name:
        raise Spoiled(f"changed its argument '{name}'")


def follow_arguments(before: Sequence[Array], after: Sequence[Array]) -> None:
    """Rejected for results that stayed although the arguments changed in their memory."""
    if all(bits.equal(x, y) for x, y in zip(before, after, strict=True)):
        raise Rejected("cached output: other numbers in the same memory gave the same results")


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
