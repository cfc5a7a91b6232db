"""What goes wrong with a contender, and a run with its records."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import bench_family as b
import pytest
from bench_family import SETTINGS, rows
from bench_package import module
from simulated_device import FixedRoofline, simulated_place

pytestmark = pytest.mark.slow

measure, places, results, roofline, run = (
    module(f"harness.{name}") for name in ("measure", "places", "results", "roofline", "run")
)


# What goes wrong with a contender


def raising(error: Exception) -> Any:
    def prepare(x: Any) -> Any:
        def call() -> Any:
            x["a"][...] = 0
            raise error

        return call

    return lambda place: prepare


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(NotImplementedError("no such thing"), "absent", "no such thing"),
     (MemoryError("out of it"), "error", "MemoryError: out of it")],
)  # fmt: skip
def test_an_error_is_a_contenders_own(error: Exception, status: str, reason: str) -> None:
    broken, ours = rows(b.product_family(broken=raising(error), ours=b.contender(b.honest)), simulated_place())
    assert (broken.status, broken.reason) == (status, reason)
    assert ours.status == "measured", ours.reason


def test_a_device_that_no_longer_answers_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    place = simulated_place()

    def lose(*arguments: Any) -> None:
        def synchronize() -> None:
            raise OSError("an illegal memory access was encountered")

        monkeypatch.setattr(place.device, "synchronize", synchronize)
        raise OSError("an illegal memory access was encountered")

    family = b.product_family(broken=b.contender(lose), ours=b.contender(b.honest))
    records: list[Any] = []
    monkeypatch.setattr(
        run, "Roofline", lambda place: SimpleNamespace(measure=lambda: FixedRoofline(place, 1e13, 1e15))
    )
    monkeypatch.setattr(run.machine, "describe", lambda place: {})
    with pytest.raises(RuntimeError, match=r"bench: the device no longer answers after broken on product 'float32"):
        run.run([family], place, SETTINGS, records.append)
    assert [record["kind"] for record in records] == ["header", "roofline", "row", "row"]
    guilty, ours = records[2:]
    assert guilty["contender"] == "broken" and guilty["reason"].startswith("the device was lost: OSError: an illegal")
    assert (ours["contender"], ours["status"], ours["ours"]) == ("pylayers", "error", True)
    assert ours["reason"] == "the device was lost to broken"


def test_peers_are_chosen_by_words_and_ours_is_always_there() -> None:
    contenders = {name: b.contender(b.honest) for name in ("ours", "torch eager", "torch SDPA", "NumPy")}
    found = rows(b.product_family(**contenders), simulated_place(), measure.Settings(rounds=5, peers=("sdpa", "num")))
    assert [row.contender for row in found] == ["ours", "torch SDPA", "NumPy"]


def test_what_takes_too_long_is_left_out() -> None:
    place = simulated_place()
    slow = b.contender(lambda place, x, w, y: b.start(place, lambda: b.product(x, w, y), 3.0))
    row, ours = rows(b.product_family(slow=slow, ours=b.contender(b.honest)), place)
    assert row.status == "not measured" and row.reason.startswith("too slow here: one call takes 3 s")
    assert ours.status == "measured"
    (row,) = measure.measure(b.product_family(), b.CASE, place, FixedRoofline(place, 1e13, 1e3), SETTINGS)
    assert row.status == "not measured" and row.reason.startswith("too slow here: at least 492 s a call")


def test_a_case_that_cannot_be_made_is_one_row() -> None:
    family, place = b.product_family(), simulated_place()
    family.inputs = lambda case, place: 1 / 0
    (row,) = run.rows_of(family, b.CASE, place, FixedRoofline(place, 1e13, 1e15), SETTINGS, [].append)
    assert row.status == "error" and row.reason == "ZeroDivisionError: division by zero" and row.ours

    def no_such_array(case: Any, place: Any) -> Any:
        raise NotImplementedError("no float8 here")

    family.inputs = no_such_array
    (row,) = run.rows_of(family, b.CASE, place, FixedRoofline(place, 1e13, 1e15), SETTINGS, [].append)
    assert (row.status, row.reason, row.ours) == ("absent", "no float8 here", True)


def test_a_hang_ends_the_process_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(run.os, "_exit", lambda code: ended.set())
    left: list[Any] = []
    with run.watched(simulated_place(), b.CASE, measure.Settings(hang_s=0.01), left.append):
        assert ended.wait(10)
    assert f"bench: product '{b.CASE.name}' did not end within 0 s on simulated" in capsys.readouterr().err
    (row,) = left  # so that who goes on leaves the case out
    assert (row["case"], row["status"], row["ours"]) == (b.CASE.name, "error", True)
    assert row["reason"].startswith("hung: did not end within 0 s")
    ended.clear()
    with run.watched(simulated_place(), b.CASE, measure.Settings(hang_s=0.05), left.append):
        pass
    assert not ended.wait(0.2) and len(left) == 1


def test_a_case_that_is_not_done_at_the_deadline_is_left_for_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before whoever started the process ends it."""
    ended = threading.Event()
    monkeypatch.setattr(run.os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(run, "LATE_S", 0.01)
    left: list[Any] = []
    with run.watched(simulated_place(), b.CASE, measure.Settings(deadline=time.monotonic()), left.append):
        assert ended.wait(10)
    assert [(row["status"], row["reason"]) for row in left] == [("not measured", "no time left")]


def test_by_value_large_products_in_bfloat16_come_first_and_what_ended_a_run_last() -> None:
    def case(name: str, dtype: str, flop: int) -> Any:
        return b.family.Case("f", name, "", dtype, flop, 1)

    cases = [case("tiny", "float32", 9), case("large", "float32", 99), case("bf16", "bfloat16", 9),
             case("large bf16", "bfloat16", 99), case("hangs", "bfloat16", 999)]  # fmt: skip
    settings = measure.Settings(by_value=True, suspects=frozenset(["hangs"]))
    found = run.chosen_cases([SimpleNamespace(cases=cases)], settings)
    assert [case.name for _, case in found] == ["large bf16", "bf16", "large", "tiny", "hangs"]
    found = run.chosen_cases([SimpleNamespace(cases=cases)], measure.Settings())
    assert [case for _, case in found] == cases


def test_what_others_take_of_the_cpu_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = module("harness.machine")
    clock = iter([(100.0, 50.0, 7.0), (110.0, 58.0, 10.0)])  # 10 s on four CPUs: 8 s of work, 3 of them ours
    now: list[tuple[float, float, float]] = []
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[-1][0])
    monkeypatch.setattr(machine, "busy_seconds", lambda: now[-1][1])
    monkeypatch.setattr(machine.time, "process_time", lambda: now[-1][2])
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    now.append(next(clock))
    conditions = machine.Conditions(places.HostPlace())
    now.append(next(clock))
    assert conditions.end() == {"others": pytest.approx(5 / 40)}


def test_busy_seconds_count_this_process() -> None:
    machine = module("harness.machine")
    before, own = machine.busy_seconds(), time.process_time()
    while time.process_time() < own + 0.3:
        pass
    assert machine.busy_seconds() - before >= 0.25


# A run and its records


def test_a_run_on_the_cpu_says_that_no_gpu_was_measured(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline.Roofline, "beyond", lambda *given: 0.0)  # what a busy machine can do is no ceiling
    place = places.HostPlace()
    place.cache_bytes = 1 << 14
    file = tmp_path / "run.jsonl"
    family = b.product_family(ours=b.contender(b.honest), peer=b.contender(b.honest))
    seen: list[Any] = []
    run.run([family], place, SETTINGS, lambda r: results.append(file, [r]), lambda *s: seen.append(s), "no GPU here")
    found = results.read(file)
    assert [r["kind"] for r in found.records] == ["header", "roofline", "row", "row", "row", "roofline", "end"]
    ours, peer, gpu = found.rows()
    assert ours.place == peer.place == "cpu" and ours.backend == "reference"
    assert (gpu.place, gpu.status, gpu.reason, gpu.samples_s) == ("cuda", "not measured", "no GPU here", [])
    assert ours.status == peer.status == "measured" and len(ours.samples_s) == 5
    assert all(0 < device <= wall for device, wall in zip(ours.samples_s, ours.wall_s, strict=True))
    assert found.of("roofline")[0]["copy_bytes_per_s"] > 0
    assert seen[-1] == ("done", 1, 1)


def test_after_the_deadline_rows_say_so() -> None:
    settings = measure.Settings(deadline=time.monotonic() - 1)
    place = simulated_place()
    (row,) = run.rows_of(b.product_family(), b.CASE, place, FixedRoofline(place, 1e13, 1e15), settings, [].append)
    assert (row.status, row.reason) == ("not measured", "no time left")


def test_a_quick_run_takes_of_each_family_in_turn() -> None:
    def family(name: str, count: int) -> Any:
        return SimpleNamespace(cases=[SimpleNamespace(name=f"{name}{n}", quick=n != 1) for n in range(count)])

    families = [family("a", 4), family("b", 1)]
    quick = run.chosen_cases(families, module("harness.settings").QUICK)
    assert [case.name for _, case in quick] == ["a0", "b0", "a2", "a3"]
    assert len(run.chosen_cases(families, SETTINGS)) == 5


def test_a_file_that_was_cut_off_is_read_and_goes_on(tmp_path: Any) -> None:
    file = tmp_path / "run.jsonl"
    results.append(file, [{"kind": "header"}, {"kind": "row", "error": float("nan"), "samples_s": [float("inf"), 1.0]}])
    whole = file.read_text()
    file.write_text(whole + '{"kind": "row", "sam')
    assert results.read(file).records == [{"kind": "header"}, {"kind": "row", "error": None, "samples_s": [None, 1.0]}]
    results.append(file, [{"kind": "end"}])
    assert file.read_text() == whole + '{"kind": "end"}\n'
    file.write_text("{\n" + whole)
    with pytest.raises(ValueError, match=r"run.jsonl:1: "):
        results.read(file)
    file.write_text("[]\n" + whole)
    with pytest.raises(ValueError, match="expected an object with 'kind'"):
        results.read(file)
