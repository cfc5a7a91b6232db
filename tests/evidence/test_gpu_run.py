"""A run on a GPU, without one: it ends in time, what is verified is skipped, failures stay."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from result_records import ROOT
from test_steps import step

from benchmarks.harness.results import read
from evidence import gpu_plan, gpu_run
from evidence.machine_code import Kernel

pytestmark = pytest.mark.slow

# ------------------------------------------------------------------------------------------------------------ runs


def run_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phases: list[gpu_plan.Phase], seconds: float = 60
) -> gpu_run.Run:
    """A run of these phases on a GPU that has three kernels."""
    monkeypatch.setattr(gpu_run, "phases", lambda device, seconds: phases)
    monkeypatch.setattr(gpu_run, "RESULTS", tmp_path / "results")
    run = gpu_run.Run(tmp_path, seconds, "cuda", [])
    run.current = {name: Kernel("sm_90a", name, launcher, "code", "source", "13") for name, launcher in
                   (("k1", "softmax"), ("k2", "softmax"), ("k3", "norm"))}  # fmt: skip
    return run


def launching(*kernels: str, status: int = 0) -> dict[str, Any]:
    """A step whose tests launch these kernels and pass."""
    lines = [{"test": f"t{i}", "outcome": "passed", "kernels": [name]} for i, name in enumerate(kernels)]
    code = f"""
        import sys
        path = next(word for word in sys.argv if word.startswith("--witness=")).partition("=")[2]
        open(path, "w").write({"".join(json.dumps(line) + chr(10) for line in lines)!r})
        raise SystemExit({status})
    """
    return {"code": code, "witness": True, "sources": "s"}


def test_one_failed_step_does_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_steps = [step("raise SystemExit(1)", "one"), step("import os; os.abort()", "two"), step("", "three"),
                 step("", "four", impossible="needs a moon")]  # fmt: skip
    run = run_of(tmp_path, monkeypatch, [gpu_plan.Phase("suite", 1, 1.0, all_steps)])
    run.all()
    records = read(run.path).of("test")
    assert {r["name"]: r["status"] for r in records} == {
        "one": "failed", "two": "failed", "three": "passed", "four": "skipped"
    }  # fmt: skip
    assert records[-1]["reason"] == "needs a moon" and "rc" not in records[-1]
    assert "failed   one" in gpu_run.table(run.records)


def test_a_run_ends_in_time_and_says_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_run, "LEAST_S", 1.0)
    sleep = "import time; time.sleep(600)"
    phases = [gpu_plan.Phase("ptx", 2, 0.5, [step(sleep, "a"), step(sleep, "b"), step(sleep, "c")]),
              gpu_plan.Phase("suite", 1, 1.0, [step("", "d")])]  # fmt: skip
    run = run_of(tmp_path, monkeypatch, phases, seconds=30)
    began = time.monotonic()
    run.all()
    assert time.monotonic() - began < 30
    status = {r["name"]: (r["status"], r["reason"]) for r in read(run.path).of("test")}
    assert status["a"][0] == status["b"][0] == "failed" and status["c"] == ("not run", "no time left")
    assert status["d"][0] == "passed"  # a phase leaves the others their share


def test_what_is_verified_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = [gpu_plan.Phase("suite", 1, 1.0, [step(name="softmax", **launching("k1", "k2"))])]
    first = run_of(tmp_path, monkeypatch, phases)
    first.all()
    record = first.records[-1]
    key = {"sass": "code", "launcher": "source", "nvcc": "13"}
    assert record["kernels"]["sm_90a k1"] == {"passed": 1, "failed": 0, "launcher": "softmax", "key": key}

    def again(change: dict[str, Kernel] | None = None, **about: Any) -> str:
        phases[0].steps[:] = [step(name="softmax", **{**launching("k1", "k2"), **about})]
        run = run_of(tmp_path, monkeypatch, phases)
        run.current |= change or {}
        return gpu_run.verified(phases[0].steps[0], run.known, run.current, "cuda")

    assert again() == record["ended"]
    assert not again(sources="changed")
    assert not again({"k2": Kernel("sm_90a", "k2", "softmax", "changed", "source", "13")})
    assert not again({"k2": Kernel("sm_90a", "k2", "softmax", "code", "changed", "13")})
    assert not again({"k2": Kernel("sm_90a", "k2", "softmax", "code", "source", "14")})
    assert not again({"k4": Kernel("sm_90a", "k4", "softmax", "code", "source", "13")})  # which no test has seen
    assert again({"k4": Kernel("sm_90a", "k4", "norm", "code", "source", "13")}) == record["ended"]
    second = run_of(tmp_path, monkeypatch, phases)
    second.all()
    assert second.records[-1]["status"] == "skipped" and record["ended"] in second.records[-1]["reason"]
    assert again() == record["ended"]  # that a step was skipped changes nothing


def test_what_failed_last_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for status in (0, 1):
        phases = [gpu_plan.Phase("suite", 1, 1.0, [step(name="softmax", **launching("k1", "k2", status=status))])]
        run = run_of(tmp_path, monkeypatch, phases)
        run.known = []
        run.all()
    again = run_of(tmp_path, monkeypatch, phases)
    assert not gpu_run.verified(phases[0].steps[0], again.known, again.current, "cuda")


MEASURING = """
    import json, pathlib, sys
    words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    finished = pathlib.Path(words["--finished"]).read_text().split() if "--finished" in words else []
    # "one" is measured, "wrong" is always wrong, and there is time for one case only.
    status = {"one": "measured", "wrong": "rejected", "two": "measured", "three": "measured"}
    todo = [name for name in status if name not in finished]
    rows = [{"kind": "row", "ours": True, "case": name, "status": status[name], "reason": ""} for name in todo]
    for row in [row for row in rows if row["status"] == "measured"][1:]:
        row.update(status="not measured", reason="no time left")
    pathlib.Path(words["--json"]).write_text("".join(json.dumps(row) + chr(10) for row in rows))
"""


def test_a_benchmark_goes_on_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(sources: str = "s", **kernels: Kernel) -> list[str]:
        phases = [gpu_plan.Phase("bench", 1, 1.0, [step(MEASURING, "bench rows", writes="row", sources=sources)])]
        run = run_of(tmp_path, monkeypatch, phases)
        run.current |= kernels
        run.all()
        assert run.records[-1]["status"] == "failed"
        return list(run.records[-1]["cases"])

    assert [measured(), measured(), measured(), measured()] == [["one"], ["two"], ["three"], []]
    assert measured(sources="changed") == ["one"]
    assert measured(k1=Kernel("sm_90a", "k1", "softmax", "changed", "source", "13")) == ["one"]


def test_a_step_of_the_emulator_verifies_nothing_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phases = [gpu_plan.Phase("suite", 1, 1.0, [step(name="softmax", **launching("k1", "k2"))])]
    run = run_of(tmp_path, monkeypatch, phases)
    run.device = "emulated"
    run.all()
    again = run_of(tmp_path, monkeypatch, phases)
    assert not gpu_run.verified(phases[0].steps[0], again.known, again.current, "cuda")
    assert gpu_run.verified(phases[0].steps[0], again.known, again.current, "emulated")


def test_what_one_gpu_has_shown_is_not_shown_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of an H100 let no step of an H200 be skipped, and no case."""
    for gpu, status in (("NVIDIA H100", "passed"), ("NVIDIA H200", "passed"), ("NVIDIA H100", "skipped")):
        facts = {"kind": "header", "machine": {"gpu": gpu}, "capability": 90, "kernels": {}}
        code = f"import json, sys; open(sys.argv[-1], 'w').write({json.dumps(facts)!r})"
        monkeypatch.setattr(gpu_run, "python", lambda *words, code=code: (sys.executable, "-c", code))
        phases = [gpu_plan.Phase("build", 1, 1.0, []), gpu_plan.Phase("suite", 1, 1.0, [step("", "one", sources="s")])]
        run = run_of(tmp_path, monkeypatch, phases)
        run.device = "emulated"
        run.all()
        assert run.records[-1]["status"] == status, gpu
        assert run.records[-1]["gpu"] == gpu


def test_tests_leave_time_for_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_run, "LEAST_S", 1.0)
    slow = step("import time; time.sleep(600)", "slow")
    phases = [
        gpu_plan.Phase("suite", 1, 1.0, [slow], leaves=0.6),
        gpu_plan.Phase("bench", 1, 1.0, [step("", "figures")]),
    ]
    run = run_of(tmp_path, monkeypatch, phases, seconds=20)
    run.all()
    assert [(r["name"], r["status"]) for r in run.records] == [("slow", "failed"), ("figures", "passed")]
    for phase in gpu_plan.phases("cuda", 540):
        assert phase.name in ("build", "bench") or phase.leaves >= 0.3


def test_few_files_come_back_the_important_one_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        phases = [gpu_plan.Phase("bench", 1, 1.0, [step(MEASURING, "bench rows", writes="row", sources="s")])]
        run_of(tmp_path, monkeypatch, phases).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.jsonl", "run.log"]


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    """SIGTERM in the middle: the step that ran is ended and recorded, the others are said not to have run."""
    code = f"""
        import sys, pathlib
        sys.path.append({str(ROOT)!r})
        from evidence import gpu_plan, gpu_run, steps
        def step(name, code): return steps.Step(name, "suite", (sys.executable, "-c", code), 600)
        slow = f"import pathlib, time; pathlib.Path({str(tmp_path / "began")!r}).touch(); time.sleep(600)"
        all_steps = [step("quick", ""), step("slow", slow), step("never", "")]
        gpu_run.phases = lambda device, seconds: [gpu_plan.Phase("suite", 1, 1.0, all_steps)]
        gpu_run.RESULTS = pathlib.Path("/nowhere")
        sys.argv = ["gpu_run", "--out", {str(tmp_path)!r}]
        sys.exit(gpu_run.main())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    records = {r["name"]: r for r in read(tmp_path / gpu_run.OUTPUT).of("test")}
    assert records["quick"]["status"] == "passed"
    assert (records["slow"]["status"], records["slow"]["reason"]) == ("failed", "interrupted")
    assert (records["never"]["status"], records["never"]["reason"]) == ("not run", "interrupted")


# ------------------------------------------------------------------------------------------------------------ plan


def test_the_plan_holds_every_test_of_kernels() -> None:
    """A new test file of kernels is part of a run on a GPU."""
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "reference"]
    texts = {path.stem.removeprefix("test_"): path.read_text() for path in paths}
    files = {
        name
        for name, text in texts.items()
        if re.search(r"^def test_\w+\((\n )?.*?\b(kernels|on): (subject\.)?Subject\b", text, re.MULTILINE)
    }
    only_emulated = {"gemm_huge", "mutants"}
    assert len(files) > 5 and files - only_emulated <= set(gpu_plan.SUITE)
    assert all(path.exists() for _, path in gpu_plan.test_files([*gpu_plan.PTX, *gpu_plan.SUITE, *gpu_plan.SANITIZED]))


@pytest.mark.parametrize(("cores", "builds"), [(2, False), (16, True)])
def test_a_rehearsal_does_not_begin_what_it_cannot_end(
    cores: int, builds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that is killed leaves no installation to rehearse with."""
    monkeypatch.setattr(gpu_plan.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(gpu_plan.shutil, "which", lambda name: name)
    step = next(s for s in gpu_plan.build("emulated", 540).steps if s.name == "editable build")
    assert step.impossible == ("" if builds else "would take about 600 s here")
    assert not gpu_plan.build("cuda", 540).steps[0].impossible  # nothing runs without it there


def test_a_rehearsal_needs_no_gpu_and_claims_none() -> None:
    both = [gpu_plan.phases(device, 540) for device in ("cuda", "emulated")]
    cuda, emulated = ({s.name: s for phase in phases for s in phase.steps} for phases in both)
    assert set(emulated) <= set(cuda)
    assert all(s.impossible for s in emulated.values() if s.phase == "sanitizers")
    for one in emulated.values():
        assert one.impossible or "cuda" not in one.command, one.name
    assert [phase.name for phase in both[0]] == ["build", "ptx", "suite", "sanitizers", "bench"]
