"""A run: families, one after another, on one place; every record goes to a sink as soon as it is there."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib
import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pylayers.errors import expected

from . import machine
from .contract import Case, Family
from .entrant import DeviceLost
from .measure import measure
from .places import HostPlace
from .results import HUNG, LOST, OUT_OF_TIME, SCHEMA, Record, Row, left_out, row_of
from .roofline import Roofline
from .settings import Settings

LATE_S = 5.0  # after the deadline; a case that then still runs is ended
Sink = Callable[[Record], None]
Progress = Callable[[str, int, int], None]  # what comes next, how many cases are done, of how many


def family_names() -> list[str]:
    """Every family: the folders of `benchmarks/families`."""
    return sorted(path.parent.name for path in (Path(__file__).parents[1] / "families").glob("*/family.py"))


def load(names: Sequence[str]) -> list[Family]:
    """The families of these names, all of them for "all"; ValueError for another name."""
    known = family_names()
    chosen = known if "all" in names or not names else names
    for name in chosen:
        if name not in known:
            raise expected("bench", "families", "among " + ", ".join((*known, "all")), repr(name))
    modules = (importlib.import_module(f"..families.{name}.family", __package__) for name in dict.fromkeys(chosen))
    return [cast(Family, module) for module in modules]


def chosen_cases(families: Sequence[Family], settings: Settings) -> list[tuple[Family, Case]]:
    """The cases that a run with these settings takes; a quick run, whose time may end, takes of each family in turn."""
    todo = [[(family, case) for case in family.cases if case.name not in settings.finished] for family in families]
    if not settings.quick:
        whole = [entry for column in todo for entry in column]
        return sorted(whole, key=lambda entry: rank(entry[1], settings))
    columns = [[(family, case) for family, case in column if case.quick] for column in todo]
    return [entry for row in itertools.zip_longest(*columns) for entry in row if entry is not None]


def rank(case: Case, settings: Settings) -> tuple[Any, ...]:
    """Where a case comes: what ended an earlier run last of all; by value bfloat16 first, and of it the largest."""
    suspect = case.name in settings.suspects
    return (suspect, case.dtype != "bfloat16", -case.flop, -case.bytes) if settings.by_value else (suspect,)


@contextlib.contextmanager
def watched(place: HostPlace, case: Case, settings: Settings, sink: Sink) -> Iterator[None]:
    """Ends the process with a sentence and a row where a GPU does not answer: waiting for it cannot be interrupted."""
    if not place.device.asynchronous:
        yield
        return
    left = math.inf if settings.deadline is None else max(settings.deadline - time.monotonic(), 0.0) + LATE_S
    seconds = min(settings.hang_s, left)

    def give_up() -> None:
        sentence = (
            f"did not end within {seconds:.0f} s on {place.name}: a kernel hangs, or the machine is far slower than "
            "expected"
        )
        late = left_out(case, place.name, place.backend, OUT_OF_TIME)
        sink((late if seconds < settings.hang_s else no_answer(case, place, f"{HUNG}: {sentence}")).record())
        print(f"bench: {case.family} '{case.name}' {sentence}; what was measured is kept", file=sys.stderr, flush=True)
        os._exit(3)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def no_answer(case: Case, place: HostPlace, reason: str) -> Row:
    """Our row of a case after which the GPU was no more to be had."""
    return row_of(case, contender="pylayers", ours=True, place=place.name, backend=place.backend, status="error",
                  reason=reason)  # fmt: skip


def rows_of(
    family: Family, case: Case, place: HostPlace, roofline: Roofline, settings: Settings, sink: Sink
) -> list[Row]:
    """The rows of a case; one that says why there are none. What ends the run with it goes to the sink."""
    if settings.deadline is not None and time.monotonic() >= settings.deadline:
        return [left_out(case, place.name, place.backend, OUT_OF_TIME)]
    try:
        with watched(place, case, settings, sink):
            return measure(family, case, place, roofline, settings)
    except DeviceLost as error:
        sink(error.row.record())
        if not error.row.ours:
            sink(no_answer(case, place, f"{LOST} to {error.row.contender}").record())
        raise
    except Exception as error:  # of the family: its inputs or its list of contenders; the other cases still count
        absent = isinstance(error, NotImplementedError)
        reason = str(error) if absent else f"{type(error).__name__}: {str(error)[:300]}"
        about = {"place": place.name, "backend": place.backend, "reason": reason}
        return [row_of(case, contender="pylayers", ours=True, status="absent" if absent else "error", **about)]


def run(
    families: Sequence[Family],
    place: HostPlace,
    settings: Settings,
    sink: Sink,
    progress: Progress = lambda what, done, total: None,
    no_gpu: str = "",
    kernels: Mapping[str, Any] | None = None,
) -> None:
    """Measures every chosen case and gives the records to the sink: header, roofline, rows, end.

    On the CPU each case has one row more, of the GPU, that says "not measured" and why (`no_gpu`). RuntimeError when a
    contender left the GPU unusable.
    """
    began = time.monotonic()
    no_gpu = no_gpu or ("the CPU was asked for" if place.name == "cpu" else "")
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    own = ("deadline", "finished", "suspects")  # of this process alone
    about = {key: value for key, value in dataclasses.asdict(settings).items() if key not in own}
    sink({"kind": "header", "schema": SCHEMA, "started": now, "machine": machine.describe(place), "settings": about,
          "kernels": dict(kernels or {}), "no_gpu": no_gpu})  # fmt: skip
    todo = chosen_cases(families, settings)
    progress("what this machine can do at most", 0, len(todo))
    roofline = Roofline(place).measure()
    sink(roofline.record())
    for done, (family, case) in enumerate(todo):
        progress(f"{case.family}: {case.name}", done, len(todo))
        for row in rows_of(family, case, place, roofline, settings, sink):
            sink(row.record())
        if place.name == "cpu":
            sink(left_out(case, "cuda", "cuda", no_gpu).record())
    sink(roofline.record())  # once more: a row above it had it measured again
    progress("done", len(todo), len(todo))
    sink({"kind": "end", "seconds": time.monotonic() - began})
