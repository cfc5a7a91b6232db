"""The harness finds every cheat out, each for its own reason, also one that is honest until the clock runs."""

from __future__ import annotations

import re
import time
from typing import Any

import bench_family as b
import pytest
from bench_package import module
from simulated_device import FixedRoofline, simulated_place

pytestmark = pytest.mark.slow

measure, places, judge, bits = (module(f"harness.{name}") for name in ("measure", "places", "judge", "bits"))
SETTINGS = measure.Settings(rounds=6, fewest_rounds=6, sample_s=2e-4, case_s=60.0)

CHEATS = {
    "empty output": (b.contender(b.empty_output), "empty output: 480 of 480 elements were not written"),
    "no output": (b.contender(b.no_output), "empty output: the call returned nothing"),
    "no elements": (b.contender(b.no_elements), r"empty output: an array of shape \(0, 20\)"),
    "a row short": (b.contender(b.one_element_short), "empty output: 20 of 480 elements were not written"),
    "zeroed inputs": (b.contender(b.zeroed_inputs), "changed its argument 'a'"),
    "cache by pointer": (b.cached(copies=True), "cached output: other numbers in the same memory"),
    "cache given away": (b.cached(copies=False), "empty output: 480 of 480 elements were not written"),
    "deferred thread": (b.contender(b.deferred_thread), "deferred work: the results changed after"),
    "low-precision sums": (b.contender(b.half_sums), r"wrong output: error \S+ is \S+ times its bound"),
    "NaN output": (b.contender(b.nan_output), "NaN output: 480 of 480 elements"),
    "lazy output": (b.contender(b.lazy_output), "lazy output: a Lazy, which is no array of memory"),
    "constant output": (b.contender(b.constant_output), "constant output: every element is the same"),
}
SIDE_STREAM = b.contender(b.side_stream), r"side stream: the device was busy for \S+ s a call, \S+ times"


def rows(place: Any, settings: Any = SETTINGS, **contenders: Any) -> dict[str, Any]:
    """The rows of contenders that meet on the one case."""
    roofline = FixedRoofline(place, bytes_per_s=1e13, flop_per_s=1e15)
    found = measure.measure(b.product_family(**contenders), b.CASE, place, roofline, settings)
    return {row.contender: row for row in found}


@pytest.fixture(autouse=True)
def long_grace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of the cheat wakes up in time however busy the machine is."""
    if "deferred thread" in request.node.name:
        monkeypatch.setattr(judge, "GRACE_S", 0.5)


@pytest.fixture(params=["host", "simulated"])
def place(request: pytest.FixtureRequest) -> Any:
    if request.param == "simulated":
        return simulated_place()
    found = places.HostPlace()
    found.cache_bytes = 1 << 14  # few sets
    return found


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_rejected_for_its_own_reason_and_the_honest_one_beside_it_is_not(name: str, place: Any) -> None:
    make, reason = CHEATS[name]
    found = rows(place, cheat=make, ours=b.contender(b.honest))
    assert found["cheat"].status == "rejected"
    assert re.match(reason, found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


def test_a_side_stream_is_seen_by_the_clock_on_the_wall() -> None:
    make, reason = SIDE_STREAM
    found = rows(simulated_place(), cheat=make, ours=b.contender(b.honest))
    assert found["cheat"].status == "rejected"
    assert re.match(reason, found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


# The first calls of a contender are the untimed ones: one to warm up, two to check, three to see how long they take.
UNTIMED = 6


@pytest.mark.parametrize("name", sorted(set(CHEATS) - {"cache by pointer", "cache given away"}))
def test_a_cheat_that_begins_with_the_clock_is_rejected_too(name: str) -> None:
    cheats = {
        "empty output": b.empty_output, "no output": b.no_output, "no elements": b.no_elements,
        "a row short": b.one_element_short, "zeroed inputs": b.zeroed_inputs, "deferred thread": b.deferred_thread,
        "low-precision sums": b.half_sums, "NaN output": b.nan_output, "constant output": b.constant_output,
        "lazy output": b.lazy_output,
    }  # fmt: skip
    found = rows(simulated_place(), cheat=b.after(UNTIMED, cheats[name]), ours=b.contender(b.honest))
    assert found["cheat"].status == "rejected" and found["cheat"].calls_per_sample > 1
    assert re.match(CHEATS[name][1], found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


def test_times_on_spoiled_arguments_count_for_nobody() -> None:
    """A product of zeros is quicker on a GPU; here it is so by the simulated kernel."""

    def quicker_on_zeros(place: Any, x: Any, w: Any, y: Any) -> None:
        b.start(place, lambda: b.product(x, w, y), b.CALL_S if x.any() else b.CALL_S / 2)

    cheat = b.after(UNTIMED, b.zeroed_inputs)
    found = rows(simulated_place(), cheat=cheat, ours=b.contender(quicker_on_zeros))
    assert found["cheat"].reason == "changed its argument 'a'"
    assert found["ours"].samples_s == pytest.approx([b.CALL_S] * SETTINGS.rounds, rel=1e-9)


def test_results_remembered_while_the_clock_runs_belong_to_other_arguments_by_then() -> None:
    known: dict[int, Any] = {}

    def remembered(place: Any, x: Any, w: Any, y: Any) -> None:
        known.setdefault(x.ctypes.data, x @ w)
        b.start(place, lambda: y.__setitem__(..., known[x.ctypes.data]))

    found = rows(simulated_place(), cheat=b.after(UNTIMED, remembered), ours=b.contender(b.honest))
    assert re.match("wrong output", found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured"


def test_a_side_stream_in_samples_whose_launches_wait_is_seen_too() -> None:
    """With the stream held, work beside it is over before the first event."""
    place = simulated_place()

    def beside(place: Any, x: Any, w: Any, y: Any) -> None:
        b.start(place, lambda: b.product(x, w, y), stream="side" if place.device.held else "main")

    found = rows(place, cheat=b.contender(beside), ours=b.contender(b.honest))
    assert re.match("side stream", found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


def test_who_turns_the_clock_is_rejected_and_the_clock_put_back(place: Any) -> None:
    found = rows(place, cheat=b.after(UNTIMED, b.turned_clock), ours=b.contender(b.honest))
    assert found["cheat"].reason == "turned the clock: replaced time.perf_counter"
    assert time.perf_counter is b.PERF_COUNTER
    assert found["ours"].status == "measured", found["ours"].reason


def test_arguments_are_looked_at_after_every_sample() -> None:
    """Also where results are not checked, so that nobody is measured on what another left."""
    found = rows(simulated_place(), cheat=b.contender(b.zeroed_in_between), ours=b.contender(b.honest))
    assert found["cheat"].reason == "changed its argument 'a'"
    assert found["ours"].status == "measured", found["ours"].reason


def test_who_zeroes_arguments_later_is_rejected_and_not_who_finds_them() -> None:
    """By a thread, when its own results were looked at already."""
    place = simulated_place()
    waiting: list[Any] = []

    def later(place: Any, x: Any, w: Any, y: Any) -> None:
        b.start(place, lambda: b.product(x, w, y))
        waiting.append(x)

    def unaware(place: Any, x: Any, w: Any, y: Any) -> None:
        b.start(place, lambda: b.product(x, w, y))

    family = b.product_family(ours=b.contender(unaware), cheat=b.contender(later))
    find = measure.Measurement.find_saboteur

    def first_zeroed(self: Any, turns: Any) -> None:
        if self.latest is not None and self.latest.row.contender == "cheat":
            waiting[-1].fill(0)
            while len(waiting) > 1:
                waiting.pop().fill(0)
        find(self, turns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure.Measurement, "find_saboteur", first_zeroed)
        roofline = FixedRoofline(place, bytes_per_s=1e13, flop_per_s=1e15)
        found = {row.contender: row for row in measure.measure(family, b.CASE, place, roofline, SETTINGS)}
    assert found["cheat"].reason == "changed the argument 'a' of others later"
    assert found["ours"].status == "measured", found["ours"].reason


def test_any_call_may_be_the_one_that_is_checked() -> None:
    """A call in two gives what the last one gave: whichever is looked at, in time it is one of those."""
    settings = measure.Settings(rounds=30, fewest_rounds=30, sample_s=2e-4, case_s=600.0)
    found = rows(simulated_place(), settings, cheat=b.every_other_call(), ours=b.contender(b.honest))
    assert re.match("wrong output", found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


def test_who_remembers_numbers_takes_longer_on_new_ones() -> None:
    settings = measure.Settings(rounds=20, fewest_rounds=20, sample_s=2e-4, case_s=600.0)
    found = rows(simulated_place(), settings, cheat=b.memo(), ours=b.contender(b.honest))
    assert re.match("remembered output: ", found["cheat"].reason), found["cheat"].reason
    assert found["ours"].status == "measured", found["ours"].reason


def test_work_in_the_background_is_seen_while_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in judge.WAITS:
        monkeypatch.setenv(name, "1")
    place = places.HostPlace()
    place.cache_bytes = 1 << 14
    found = rows(place, cheat=b.background(0.1), ours=b.contender(b.honest))
    assert re.match("background work: other threads were busy", found["cheat"].reason), found["cheat"].reason


def test_what_is_checked_cannot_be_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which samples, and which call of a sample."""
    seen: list[tuple[int, ...]] = []
    check = measure.Measurement.check

    def watched(self: Any, entrant: Any, turn: int, results: Any, touched: Any) -> None:
        seen[-1] += (len(entrant.row.wall_s), turn)
        check(self, entrant, turn, results, touched)

    monkeypatch.setattr(measure.Measurement, "check", watched)
    for _ in range(3):
        seen.append(())
        rows(simulated_place(), ours=b.contender(b.honest))
    assert len(set(seen)) > 1


@pytest.mark.parametrize(
    ("check", "cheat"),
    [
        ("leave_arguments", "zeroed inputs"), ("look", "a row short"), ("look", "constant output"),
        ("follow_arguments", "cache by pointer"), ("compare", "low-precision sums"),
    ],
)  # fmt: skip
def test_each_check_finds_what_no_other_names(check: str, cheat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check the cheat is accepted, or rejected in other words."""
    monkeypatch.setattr(judge, check, lambda *arguments: None)
    make, reason = CHEATS[cheat]
    found = rows(simulated_place(), cheat=make)["cheat"]
    assert not re.match(reason, found.reason)


def test_without_the_clock_on_the_wall_a_side_stream_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("stay_on_stream", "keep_below"):
        monkeypatch.setattr(judge, check, lambda *arguments: None)
    found = rows(simulated_place(), cheat=SIDE_STREAM[0], ours=b.contender(b.honest))
    assert found["cheat"].status == "measured"
    assert max(found["cheat"].samples_s) < min(found["ours"].samples_s) / 3


def test_an_honest_one_has_the_times_of_the_device_and_of_the_host_apart() -> None:
    found = rows(simulated_place(), ours=b.contender(b.honest))["ours"]
    assert found.samples_s == pytest.approx([b.CALL_S] * SETTINGS.rounds, rel=1e-9)
    assert found.host_s == pytest.approx([3e-6] * SETTINGS.rounds, rel=1e-9)
    assert all(b.CALL_S <= wall <= b.CALL_S * 1.2 for wall in found.wall_s)
    assert found.calls_per_sample == 7 and found.sets >= 3 and found.cold
    assert 0 < found.error_ratio <= 1 and found.error > 0


def test_launches_that_take_longer_than_the_work_are_no_part_of_its_time() -> None:
    def short(place: Any, x: Any, w: Any, y: Any) -> None:
        b.start(place, lambda: b.product(x, w, y), 1e-6)

    found = rows(simulated_place(), ours=b.contender(short))["ours"]
    assert found.status == "measured", found.reason
    assert found.samples_s == pytest.approx([1e-6] * SETTINGS.rounds, rel=1e-9)
    assert min(found.wall_s) >= 3e-6


def test_nothing_is_poisoned_compared_or_copied_while_the_clock_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    place = simulated_place()
    seen: dict[str, list[bool]] = {}
    for name in ("poison", "equal", "copy", "poisoned", "nans"):
        whole = getattr(bits, name)

        def watched(*arguments: Any, name: str = name, whole: Any = whole) -> Any:
            seen.setdefault(name, []).append(place.device.timed)
            return whole(*arguments)

        monkeypatch.setattr(bits, name, watched)
    found = rows(place, ours=b.contender(b.honest))["ours"]
    assert found.status == "measured"
    assert len(seen) == 5 and not any(any(times) for times in seen.values())
    assert len(seen["poison"]) >= place.device.samples >= 2 * SETTINGS.rounds


def test_what_beats_the_roofline_is_rejected_after_a_second_look_at_the_roofline() -> None:
    place = simulated_place()
    roofline = FixedRoofline(place, bytes_per_s=1e13, flop_per_s=b.FLOP / b.CALL_S / 2)
    (row,) = measure.measure(b.product_family(ours=b.contender(b.honest)), b.CASE, place, roofline, SETTINGS)
    assert row.status == "rejected" and re.match("above the roofline: 3e-05 s a call, but 491520 op", row.reason)
    assert roofline.looks == 6  # three times bytes and products
    roofline.flop_per_s["float32"] *= 2.02  # just at the ceiling
    (row,) = measure.measure(b.product_family(ours=b.contender(b.honest)), b.CASE, place, roofline, SETTINGS)
    assert row.status == "measured" and roofline.looks == 6
