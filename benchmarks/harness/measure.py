"""A case is given to every contender in turn, round after round, and judged before, during and after."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from . import bits, judge, machine
from .contract import Absent, Array, Case, Family
from .entrant import DeviceLost, Entrant, NotMeasured
from .places import HostPlace
from .results import Row, row_of
from .roofline import Roofline
from .sets import COPIES, SHARE_OF_MEMORY, Sets
from .timing import MOST_CALLS, Kept, calls_per_sample, hold_for, sample

EMULATED = 10_000  # times the roofline's time, about, is what the emulator takes


@dataclass(frozen=True)
class Settings:
    """How long and how often."""

    seed: int = 0
    quick: bool = False  # only the cases marked so
    rounds: int = 30
    fewest_rounds: int = 5
    sample_s: float = 2e-3  # a shorter call is repeated until a sample takes about this
    case_s: float = 10.0  # of sampling; fewer rounds where they would take longer
    call_limit_s: float = 2.0  # a longer call is not measured
    peers: tuple[str, ...] = ()  # words that the names of peers hold; all of them if empty
    deadline: float | None = None  # of time.monotonic(); no case begins after it
    finished: frozenset[str] = frozenset()  # names of cases that another run measured
    suspects: frozenset[str] = frozenset()  # and of those that ended one: they come last
    by_value: bool = False  # the most valuable cases first
    hang_s: float = 300.0  # a case on a GPU that takes longer ends the run


QUICK = Settings(quick=True, rounds=7, sample_s=2e-3, case_s=1.0, call_limit_s=0.5)


class Measurement:
    """One case."""

    def __init__(self, family: Family, case: Case, place: HostPlace, roofline: Roofline, settings: Settings) -> None:
        self.family, self.case, self.place, self.roofline, self.settings = family, case, place, roofline, settings
        place.reseed(zlib.crc32(f"{settings.seed} {case.family} {case.name}".encode()))
        self.sets = Sets(family, case, place)
        self.entrants: list[Entrant] = []
        self.rows: list[Row] = []
        self.spoiled = False  # whether a contender wrote to the arguments of all

    def enter(self) -> None:
        """Asks the family who takes part, ours first."""
        words = self.settings.peers
        contenders = self.family.contenders(self.case, self.place)
        without_ours = all(isinstance(found, Absent) for found in contenders if found.ours)
        idle = self.place.device.asynchronous and without_ours and not words
        for found in contenders:
            if not found.ours and words and not any(word.lower() in found.name.lower() for word in words):
                continue
            row = row_of(self.case, contender=found.name, place=self.place.name, backend=self.place.backend)
            row.ours, row.sets, row.cold = found.ours, len(self.sets), self.sets.cold
            self.rows.append(row)
            if isinstance(found, Absent):
                row.status, row.reason = "absent", found.reason
            elif idle:
                row.reason = "ours is absent: a GPU times peers alone where they are asked for"
            else:
                row.status, row.version, row.arithmetic = "measured", found.version, found.arithmetic
                self.entrants.append(Entrant(found, row))

    def attempt(self, entrant: Entrant, part: Callable[[Entrant], None]) -> None:
        """A part of one contender's run; what goes wrong ends it and leaves the arguments as they were."""
        row = entrant.row
        try:
            part(entrant)
            return
        except judge.Rejected as verdict:
            row.status, row.reason = "rejected", str(verdict)
            self.spoiled = self.spoiled or isinstance(verdict, judge.Spoiled)
        except NotMeasured as why:
            row.status, row.reason = "not measured", str(why)
        except NotImplementedError as error:
            row.status, row.reason = "absent", str(error)
        except Exception as error:  # whatever a peer raises is its result
            row.status, row.reason = "error", f"{type(error).__name__}: {str(error)[:300]}"
        try:
            self.place.device.synchronize()
            self.sets.restore()
        except Exception as error:
            raise DeviceLost(row, error) from error

    def qualify(self, entrant: Entrant) -> None:
        """Right results, twice, with other numbers in the same memory; nothing is timed yet."""
        entrant.calls = [entrant.contender.prepare(each) for each in self.sets.arrays]
        self.sets.restore_changed()
        device, began = self.place.device, time.perf_counter()
        warm = entrant.calls[0]()
        device.synchronize()
        if time.perf_counter() - began > 5 * self.settings.call_limit_s:
            raise NotMeasured(f"too slow here: one call took {time.perf_counter() - began:.3g} s")
        results = judge.results_of(self.place, warm)
        entrant.owned = [self.sets.owns(x) for x in results]
        if any(entrant.owned) and not self.sets.changed:
            raise judge.Rejected("returned the memory of its argument")
        self.poison(entrant, {0: warm})
        del warm, results
        first = self.observe(entrant, 0)
        self.check(entrant, 0, first, [0])
        self.sets.refill(0)
        second = self.observe(entrant, 0)
        judge.follow_arguments(first, second)
        self.check(entrant, 0, second, [0])
        self.sets.restore_changed()
        entrant.row.peak_bytes = self.place.one_call_bytes(entrant.calls[0])
        self.calibrate(entrant)

    def observe(self, entrant: Entrant, turn: int) -> list[Array]:
        """A copy of what one call gives."""
        self.sets.restore_changed()
        kept = entrant.calls[turn]()
        self.place.device.synchronize()
        return judge.snapshot(self.place, judge.results_of(self.place, kept))

    def check(self, entrant: Entrant, turn: int, results: Sequence[Array], touched: Sequence[int]) -> None:
        """The results of a call on a set, and the sets that may have been touched."""
        judge.leave_arguments(self.sets, touched)
        judge.look(results)
        found = self.family.deviation(self.case, self.place, self.sets.before(turn), results)
        row = entrant.row
        row.error = max(row.error or 0.0, found.error)
        row.error_ratio = max(row.error_ratio or 0.0, found.ratio)
        judge.compare(found)

    def calibrate(self, entrant: Entrant) -> None:
        """How many calls a sample has."""
        self.sets.restore_changed()
        turns = list(range(max(1, min(3, len(self.sets) - 1))))
        taken, kept = sample(self.place.device, entrant.calls, turns, warm=self.other(turns))
        self.poison(entrant, kept)
        entrant.host_s, entrant.call_s = taken.host_s, taken.wall_s
        if taken.wall_s > self.settings.call_limit_s:
            raise NotMeasured(f"too slow here: one call takes {taken.wall_s:.3g} s")
        # What a call changes is put back before each sample: a set is taken once, so that its results can be checked,
        # and on the host one is left for the calls that are not timed.
        spare = 0 if self.place.device.asynchronous else 1
        most = max(1, len(self.sets) - spare) if self.sets.changed else MOST_CALLS
        entrant.count = calls_per_sample(taken.wall_s, self.settings.sample_s, most)
        entrant.row.calls_per_sample = entrant.count

    def other(self, turns: Sequence[int]) -> int | None:
        """A set for the call that is not timed: the one before the first; None where its changes would be seen."""
        before = (turns[0] - 1) % len(self.sets)
        return None if self.sets.changed and before in turns else before

    def poison(self, entrant: Entrant, kept: Kept) -> None:
        """Overwrites results, so that nobody finds right ones in memory that he did not write."""
        for each in kept.values():
            for x, owned in zip(judge.results_of(self.place, each), entrant.owned):
                if not owned and bits.writeable(x):
                    bits.poison(x)

    def rounds(self) -> int:
        """As many as were asked for, or as fit into the time for a case."""
        each = 2 if self.place.device.asynchronous else 1
        one = sum(each * e.count * e.call_s for e in self.entrants if e.runs)
        room = self.settings.case_s / max(one, 1e-9)
        return max(self.settings.fewest_rounds, min(self.settings.rounds, int(room)))

    def compete(self) -> None:
        """The timed rounds: A B C, C B A, A B C; in the middle and at the end the results are checked.

        Where arguments were found spoiled all begin anew, without the one who did it: others ran on them.
        """
        self.spoiled = False
        rounds = self.rounds()
        for number in range(rounds):
            checked = number in (rounds // 2, rounds - 1)
            if checked:
                self.sets.rotate()
            for entrant in self.entrants if number % 2 == 0 else self.entrants[::-1]:
                if entrant.runs:
                    self.attempt(entrant, lambda e, checked=checked: self.time(e, checked))  # type: ignore[misc]
        if self.spoiled:
            for entrant in self.entrants:
                entrant.forget()
            self.compete()

    def time(self, entrant: Entrant, checked: bool) -> None:
        """One sample, on a GPU two: as a user would call, and with every launch made beforehand."""
        row = entrant.row
        taken = self.one(entrant, checked, 0.0)
        row.wall_s.append(taken.wall_s)
        row.host_s.append(taken.host_s)
        entrant.free_s.append(taken.device_s)
        if self.place.device.asynchronous:
            taken = self.one(entrant, checked, hold_for(taken.host_s, entrant.count))
        row.samples_s.append(taken.device_s)

    def one(self, entrant: Entrant, checked: bool, hold_s: float) -> Any:
        """A sample whose last results are checked if that is asked for; all of them are poisoned after it."""
        self.sets.restore_changed()
        turns = entrant.turns(len(self.sets))
        taken, kept = sample(self.place.device, entrant.calls, turns, hold_s, self.other(turns))
        if checked:
            results = judge.results_of(self.place, kept[turns[-1]])
            self.check(entrant, turns[-1], judge.snapshot(self.place, results), range(len(self.sets)))
        self.poison(entrant, kept)
        return taken

    def finish(self, entrant: Entrant) -> None:
        """What only all samples together can show."""
        row = entrant.row
        if self.place.device.asynchronous:
            judge.stay_on_stream(entrant.free_s, row.wall_s, row.host_s, row.samples_s, entrant.count)
        call_s = median(row.samples_s)
        judge.keep_below(row, call_s, self.roofline.beyond(row, call_s))

    def run(self) -> list[Row]:
        """The rows of every contender."""
        conditions = machine.Conditions(self.place)
        self.enter()
        for entrant in self.entrants:
            self.attempt(entrant, self.qualify)
        self.compete()
        found = conditions.end()
        held = machine.throttled(found.get("after"))
        for entrant in self.entrants:
            entrant.row.conditions = found
            if entrant.runs:
                self.attempt(entrant, self.finish)
            if entrant.runs and held:
                entrant.row.status, entrant.row.reason = "rejected", f"clocks held down: {held}"
        return self.rows


def too_much(case: Case, place: HostPlace, roofline: Roofline, settings: Settings) -> str:
    """Why a case does not fit a place, "" if it does."""
    if COPIES * case.bytes > SHARE_OF_MEMORY * place.free_bytes():
        return f"too large here: {case.bytes * 1e-9:.3g} GB of arguments and results"
    row = row_of(case, contender="", place=place.name, backend=place.backend, cold=True)
    least = roofline.least_s(row) * (EMULATED if place.backend == "emulated" else 1)
    return f"too slow here: at least {least:.3g} s a call" if least > settings.call_limit_s else ""


def measure(family: Family, case: Case, place: HostPlace, roofline: Roofline, settings: Settings) -> list[Row]:
    """The rows of one case on one place."""
    why = too_much(case, place, roofline, settings)
    if why:
        return [left_out(case, place.name, place.backend, why)]
    with place.current():
        try:
            return Measurement(family, case, place, roofline, settings).run()
        finally:
            with contextlib.suppress(Exception):  # the device may be gone, which was said
                place.release()


def left_out(case: Case, place: str, backend: str, reason: str) -> Row:
    """Our row of a case that does not run."""
    return row_of(case, contender="pylayers", ours=True, place=place, backend=backend, reason=reason)
