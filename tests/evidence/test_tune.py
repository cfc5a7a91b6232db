"""The table of measured choices: what was quickest is what the plan takes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import emulated
import numpy as np
import pytest
from result_records import row

from benchmarks.harness import places, run
from benchmarks.harness.results import Results, append, read, row_of
from evidence import choices, tune

TYPES = ("gemm", 90, "bfloat16 bfloat16 float32 rows columns")


def tuned(case: str, times: dict[str, float], *sizes: int) -> list[dict[str, Any]]:
    """The records of a case of `tune`."""
    problem = {"kind": "problem", "case": case, "problem": [*TYPES, *sizes]}
    rows = [row(case, name, s, family="tune gemm", dtype="bfloat16", params={}) for name, s in times.items()]
    return [problem, *rows]


def test_choices_are_what_was_quickest() -> None:
    header = {"kind": "header", "device": "cuda", "capability": 90}
    rows = tuned("a", {"x*1 (the plan's choice)": 1.0, "y*2": 0.5}, 1, 4096, 4096, 4096)
    # No difference: nothing to choose.
    rows += tuned("b", {"x*1 (the plan's choice)": 1.0, "y*2": 0.99}, 1, 1, 4096, 4096)
    rows += tuned("c", {"x*1 (the plan's choice)": 1.0}, 3, 4096, 4096, 4097)
    slower = tuned("a", {"x*1 (the plan's choice)": 1.0, "y*2": 0.9, "z*1": 0.1}, 1, 4096, 4096, 4096)
    slower[3]["status"] = "rejected"
    found = choices.choices([Results([header, *rows]), Results([header, *slower])])
    assert found == sorted([
        (*TYPES, 1, 4096, 4096, 4096, "y*2"),
        (*TYPES, 1, 1, 4096, 4096, "x*1"),
        (*TYPES, 3, 4096, 4096, 4097, "x*1"),
    ])  # fmt: skip


def test_the_table_is_written_and_read() -> None:
    text = choices.TABLE.read_text()
    rows = [(*TYPES, 1, 2, 3, 4, "v*1")]
    once = choices.with_rows(text, rows)
    assert '    {"gemm", 90, "bfloat16 bfloat16 float32 rows columns", 1, 2, 3, 4, "v*1"},\n' in once
    assert choices.written(once) == rows and choices.with_rows(once, choices.written(text)) == text
    for other in ([("gemm", 80, *rows[0][2:])], [("conv_forward", *rows[0][1:])]):
        assert choices.together(rows, other) == sorted(rows + other)
    assert choices.together(rows, [(*rows[0][:7], "w*1")]) == [(*rows[0][:7], "w*1")]
    with pytest.raises(ValueError, match="tune: expected a table between"):
        choices.with_rows("nothing", rows)


class Untouched(places.HostPlace):
    """Arrays whose memory nobody reads."""

    def normal(self, shape: Any, dtype: str, scale: float = 1.0) -> Any:
        return np.empty(shape, places.dtypes.DTYPES[dtype]) if math.prod(shape) > 1 else np.ones(shape, dtype)


@pytest.mark.parametrize("family", tune.FAMILIES)
def test_the_plan_takes_what_was_measured(family: str) -> None:
    """For every case the row that tuning would write: the plan says which problem it is of."""
    module, place, tried = emulated.load(), Untouched(), 0
    spec = module.device_spec(0)
    for case in tune.cases(family):
        if case.dtype == "int8" and case.bytes > 1 << 20:
            continue  # drawn as int64
        asked = tune.FAMILIES[family].question(case, tune.FAMILIES[family].bench.inputs(case, place)) | {"spec": spec}
        if family == "conv" and case.dtype != "float32":
            with pytest.raises(NotImplementedError, match="expected float32"):
                tune.model(module, asked)
            continue
        plan = tune.model(module, asked)
        for variant in [v for v in module.possible_variants(**asked) if v != tune.canonical(plan.variant)][:2]:
            chosen = module.plan(measured=[(*plan.problem, variant)], **asked)
            assert tune.canonical(chosen.variant) == variant, f"{case.name} {plan.problem}"
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("name", tune.FAMILIES)
def test_every_variant_of_a_case_is_right(name: str) -> None:
    emulated.load()
    place, family = places.HostPlace("emulated"), tune.Variants(name, quick=True)
    small = sorted((case for case in family.cases if case.dtype == "float32"), key=lambda case: case.flop)
    for case in [case for case in family.cases if case.group == "tiny"][:3] + small[:3]:
        entries = family.contenders(case, place)
        assert choices.OWN in entries[0].name and len({entry.name for entry in entries}) == len(entries)
        x = family.inputs(case, place)
        for entry in entries:
            with place.current():
                results = entry.prepare(x)()
            assert family.deviation(case, place, x, results).ratio <= 1, entry.name


def test_only_measurements_reach_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tmp_path / "t.jsonl", [{"kind": "header", "device": "emulated", "capability": 90}])
    text = choices.TABLE.read_text()
    monkeypatch.setattr(sys, "argv", ["tune", "gemm", "--from", str(tmp_path / "t.jsonl"), "--write"])
    with pytest.raises(ValueError, match="tune: argument 'write': expected files measured on a GPU"):
        tune.main()
    assert choices.TABLE.read_text() == text
    monkeypatch.setattr(sys, "argv", ["tune", "pool"])
    with pytest.raises(SystemExit):
        tune.main()
    assert "invalid choice: 'pool'" in capsys.readouterr().err


def test_tuning_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a case that hung, and anew for another GPU or other kernels."""
    facts: dict[str, Any] = {"kind": "header", "device": "emulated", "kernels": {"k": 1}, "machine": {"gpu": "one"}}
    monkeypatch.setattr(tune.gpu_stages, "facts", lambda device: dict(facts))
    ceilings = SimpleNamespace(measure=lambda: ceilings, record=lambda: {"kind": "roofline"})
    monkeypatch.setattr(tune.roofline, "Roofline", lambda place: ceilings)
    emulated.load()
    asked: list[str] = []

    def rows_of(family: Any, case: Any, place: Any, ceilings: Any, settings: Any, sink: Any) -> list[Any]:
        asked.append(case.name)
        assert settings.hang_s == tune.gpu_stages.HANG_S and settings.deadline is not None
        if len(asked) == 2:  # as a hang does, from another thread
            sink(run.no_answer(case, place, "hung").record())
            raise SystemExit(3)
        return [rows_of_case(case)]

    monkeypatch.setattr(run, "rows_of", rows_of)
    file = tmp_path / "t.jsonl"

    def again() -> list[str]:
        asked.clear()
        known = read(file).records if file.exists() else []
        tune.tune("gemm", "emulated", 60.0, True, lambda record: append(file, [record]), known)
        return asked

    with pytest.raises(SystemExit):
        again()
    names = [case.name for case in tune.cases("gemm", quick=True)]
    assert asked == names[:2]
    monkeypatch.setattr(run, "rows_of", lambda *given: [asked.append(given[1].name), rows_of_case(given[1])][1:])
    assert again() == names[2:]
    assert again() == []
    facts["machine"] = {"gpu": "another"}
    assert again() == names
    facts["kernels"] = {"k": 2}
    assert again() == names


def rows_of_case(case: Any) -> Any:
    """One measured row."""
    return row_of(case, contender="v", place="cpu", backend="", status="measured", samples_s=[1.0])
