"""A case is given to every contender in turn, round after round, and judged before, during and after."""

from __future__ import annotations

import contextlib
import functools
import random
import time
import zlib
from collections.abc import Callable, Sequence
from statistics import median

from . import bits, judge, machine, timing
from .contract import Absent, Array, Case, Family
from .entrant import DeviceLost, Entrant, NotMeasured
from .places import HostPlace
from .results import Row, left_out, row_of
from .roofline import Roofline
from .sets import COPIES, SHARE_OF_MEMORY, Sets
from .settings import Settings
from .timing import MOST_CALLS, Kept, Sample, calls_per_sample, hold_for, sample

LOOKS = 0.15  # of the samples are checked beside those of new numbers
SOME = 2048  # elements of each argument are compared after every other sample
STILL_S = 5e-3  # before a sample that is checked: nobody may be at work already
EMULATED = 10_000  # times the roofline's time, about, is what the emulator takes


class Measurement:
    """One case."""

    def __init__(self, family: Family, case: Case, place: HostPlace, roofline: Roofline, settings: Settings) -> None:
        self.family, self.case, self.place, self.roofline, self.settings = family, case, place, roofline, settings
        place.reseed(zlib.crc32(f"{settings.seed} {case.family} {case.name}".encode()))
        self.sets = Sets(family, case, place)
        self.entrants: list[Entrant] = []
        self.rows: list[Row] = []
        self.spoiled = False  # whether a contender wrote to the arguments of all
        self.latest: Entrant | None = None  # who took the last sample
        self.chance = random.SystemRandom()  # when somebody looks, no contender can foresee
        self.tools = judge.tools(time, timing, judge, bits)

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
        judge.leave_arguments(self.sets, turns, SOME)
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
        """The timed rounds: A B C, C B A, A B C; results are checked now and then, when nobody can know.

        In some rounds, the last among them, the arguments are numbers that nobody has seen. Where arguments were found
        spoiled all begin anew, without the one who did it: others ran on them.
        """
        self.spoiled = False
        rounds = self.rounds()
        others = range(1, rounds - 1)
        fresh = {rounds - 1, *self.chance.sample(others, min(len(others), max(2, rounds // 8)))}
        for number in range(rounds):
            if number in fresh:
                self.renew()
            for entrant in self.entrants if number % 2 == 0 else self.entrants[::-1]:
                checked = number in fresh or self.chance.random() < LOOKS
                if entrant.runs:
                    part = functools.partial(self.time, checked=checked, fresh=number in fresh)
                    self.attempt(entrant, part)
        if self.spoiled:
            for entrant in self.entrants:
                entrant.forget()
            self.compete()

    def renew(self) -> None:
        """New numbers in the sets that the next samples take; all begin with the first of them."""
        for turn in range(min(len(self.sets), max((e.count for e in self.entrants if e.runs), default=0))):
            self.sets.refill(turn)
        for entrant in self.entrants:
            entrant.turn = 0

    def time(self, entrant: Entrant, checked: bool, fresh: bool) -> None:
        """One sample, on a GPU two: as a user would call, and with every launch made beforehand."""
        row = entrant.row
        taken = self.one(entrant, checked, 0.0)
        if fresh:
            entrant.fresh.append(len(entrant.free_s))
        row.wall_s.append(taken.wall_s)
        row.host_s.append(taken.host_s)
        entrant.free_s.append(taken.device_s)
        if self.place.device.asynchronous:
            taken = self.one(entrant, checked, hold_for(taken.host_s, entrant.count))
        row.samples_s.append(taken.device_s)

    def one(self, entrant: Entrant, checked: bool, hold_s: float) -> Sample:
        """A sample, some results of which are checked if that is asked for; all of them are poisoned after it."""
        self.sets.restore_changed()
        turns = entrant.turns(len(self.sets))
        self.find_saboteur(turns)
        if checked and not self.place.device.asynchronous:
            judge.keep_still(self.place, STILL_S)
        taken, kept = sample(self.place.device, entrant.calls, turns, hold_s, self.other(turns))
        if checked:
            # The last is what work that goes on in the background is still at.
            turn = turns[-1] if self.chance.random() < 0.5 else self.chance.choice(turns)
            results = judge.snapshot(self.place, judge.results_of(self.place, kept[turn]))
            self.check(entrant, turn, results, range(len(self.sets)))
            for each in kept.values():
                judge.look(judge.results_of(self.place, each))
        else:
            judge.leave_arguments(self.sets, turns, SOME)
        judge.leave_tools(self.tools)
        self.poison(entrant, kept)
        self.latest = entrant
        return taken

    def find_saboteur(self, turns: Sequence[int]) -> None:
        """Who ran last is rejected where arguments are not as they were when its look at them was over."""
        name = self.sets.spoiled(turns, SOME)
        if name and self.latest is not None:
            self.sets.restore()
            self.latest.row.status, self.latest.row.reason = (
                "rejected",
                f"changed the argument '{name}' of others later",
            )
            self.spoiled = True

    def finish(self, entrant: Entrant) -> None:
        """What only all samples together can show."""
        row = entrant.row
        if self.place.device.asynchronous:
            judge.stay_on_stream(entrant.free_s, row.wall_s, row.host_s, row.samples_s, entrant.count)
        judge.take_as_long_on_new_numbers(entrant.free_s, entrant.fresh)
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
