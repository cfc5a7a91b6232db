"""Steps of a run: they end in time with all their processes, and leave what they saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from result_records import ROOT

from evidence import steps

pytestmark = pytest.mark.slow


def step(code: str, name: str = "a step", **about: Any) -> steps.Step:
    """A step that runs this Python."""
    fields = {"phase": "suite", "command": (sys.executable, "-c", textwrap.dedent(code)), "limit_s": 60.0, **about}
    return steps.Step(name, **fields)


@pytest.fixture
def runner(tmp_path: Path) -> steps.Runner:
    return steps.Runner(ROOT, tmp_path / "log.txt")


def ends(process: int) -> bool:
    """Whether the process is gone, or a zombie, before long."""
    stat = Path(f"/proc/{process}/stat")
    for _ in range(3000):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_step_leaves_its_output_and_status(runner: steps.Runner) -> None:
    record, _ = runner.run(step("print('good')"), 60)
    assert (record["status"], record["rc"], record["tail"]) == ("passed", 0, "good\n")
    record, _ = runner.run(step("print('bad'); raise SystemExit(3)"), 60)
    assert (record["status"], record["reason"], record["tail"]) == ("failed", "exit status 3", "bad\n")
    record, _ = runner.run(steps.Step("none", "suite", ("/nowhere/program",), 60), 60)
    assert (record["status"], record["rc"]) == ("failed", 127) and "nowhere" in record["tail"]
    record, _ = runner.run(step(f"print('x' * {2 * steps.TAIL})"), 60)
    assert len(record["tail"]) == steps.TAIL
    assert "good" in runner.log.read_text() and "bad" in runner.log.read_text()


def test_a_step_that_takes_too_long_is_ended_with_its_children(runner: steps.Runner, tmp_path: Path) -> None:
    code = """
        import pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(sys.argv[1]).write_text(str(child.pid))
        time.sleep(600)
    """
    plain = step(code)
    began = time.monotonic()
    record, _ = runner.run(steps.Step("slow", "suite", (*plain.command, str(tmp_path / "child")), 600), 4)
    assert record["status"] == "failed" and record["reason"].startswith("ended after 4 s")
    assert time.monotonic() - began < 120
    assert ends(int((tmp_path / "child").read_text()))


def test_what_a_step_leaves_in_the_background_is_ended(runner: steps.Runner, tmp_path: Path) -> None:
    code = """
        import pathlib, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    """
    record, _ = runner.run(steps.Step("quick", "suite", (*step(code).command, str(tmp_path / "child")), 60), 60)
    assert record["status"] == "passed"
    assert ends(int((tmp_path / "child").read_text()))


def test_a_benchmark_must_write_rows(runner: steps.Runner) -> None:
    record, lines = runner.run(step("", writes="row"), 60)
    assert (record["status"], record["reason"], lines) == ("failed", "wrote no row", [])
    row = {"kind": "row", "ours": True, "case": "one", "reason": ""}
    text = json.dumps(row | {"status": "measured"}) + '\n{"kind": "ro'
    code = f"import sys; open(sys.argv[2], 'w').write({text!r})"
    record, lines = runner.run(step(code, writes="row"), 60)
    assert (record["status"], lines) == ("passed", [row | {"status": "measured"}])
    wrong = [row | {"status": status} for status in ("measured", "error", "rejected", "absent")]
    code = f"import sys; open(sys.argv[2], 'w').write({chr(10).join(map(json.dumps, wrong))!r})"
    record, lines = runner.run(step(code, writes="row"), 60)
    assert (record["status"], len(lines)) == ("failed", 4)
    assert record["reason"] == "2 of 4 rows of ours are wrong or were rejected"
    late = row | {"status": "not measured", "reason": steps.OUT_OF_TIME}
    code = f"import sys; open(sys.argv[2], 'w').write({json.dumps(late)!r})"
    record, _ = runner.run(step(code, writes="row"), 60)
    assert (record["status"], record["reason"]) == ("failed", "no time left for 1 cases")  # to be run again


def test_a_step_is_told_its_time(runner: steps.Runner) -> None:
    plain = step("import sys; print(sys.argv[1])")
    record, _ = runner.run(steps.Step("timed", "bench", (*plain.command, steps.SECONDS), 600), 47.2)
    assert record["tail"] == "37\n"


TESTS = """
import time, types, sys
import pytest

calls = []
module = types.ModuleType("pylayers._cuda")
module.take_launched = lambda: [calls.pop() for _ in range(len(calls))]
sys.modules["pylayers._cuda"] = module

@pytest.fixture
def setup():
    calls.append("in_setup")

@pytest.fixture
def broken(): calls.append("k3"); raise RuntimeError
def test_setup(broken): pass
def test_good(setup): calls.extend(["k1", "k2"])
@pytest.fixture
def cleaning():
    yield
    calls.append("cleaning")
def test_bad(cleaning): calls.append("k2"); assert 0
def test_skipped(): pytest.skip("no")
@pytest.fixture
def untidy():
    yield
    raise RuntimeError
def test_untidy(untidy): calls.append("k4")
"""


def pytest_step(path: Path, *words: str) -> steps.Step:
    """The tests of a file, witnessed."""
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *words, str(path))
    return steps.Step("tests", "suite", command, 60, {"PYTHONPATH": str(ROOT)}, witness=True)


def test_a_witness_tells_tests_and_their_kernels(runner: steps.Runner, tmp_path: Path) -> None:
    path = tmp_path / "test_sample.py"
    path.write_text(TESTS)
    record, _ = runner.run(pytest_step(path), 60)
    assert (record["status"], record["reason"]) == ("failed", "exit status 1")
    assert {word: record[word] for word in ("passed", "failed", "skipped")} == {"passed": 1, "failed": 3, "skipped": 1}
    assert [name.rpartition("::")[2] for name in record["failures"]] == ["test_setup", "test_bad", "test_untidy"]
    good, bad = {"passed": 1, "failed": 0}, {"passed": 0, "failed": 1}
    both = {"passed": 1, "failed": 1}
    assert record["launched"] == {"in_setup": good, "k1": good, "k2": both, "k3": bad, "k4": bad}
    record, _ = runner.run(pytest_step(path, "-k", "good or bad", "--first=1"), 60)
    assert (record["status"], record["passed"], record["failed"]) == ("passed", 1, 0)
    record, _ = runner.run(pytest_step(path, "-k", "nothing"), 60)
    assert (record["status"], record["reason"]) == ("failed", "no test was selected")
    record, _ = runner.run(pytest_step(path, "-k", "skipped"), 60)
    assert (record["status"], record["reason"]) == ("failed", "no test passed")


def test_a_witness_names_the_test_that_hangs(runner: steps.Runner, tmp_path: Path) -> None:
    path = tmp_path / "test_sample.py"
    path.write_text("import time\ndef test_good(): pass\ndef test_hangs(): time.sleep(600)\n")
    record, _ = runner.run(pytest_step(path), 12)
    assert record["status"] == "failed" and record["passed"] == 1
    assert "ended after 12 s in" in record["reason"] and "test_hangs" in record["reason"]


HANGING = """
import os, sys, time, types
kernels = []
module = types.ModuleType("pylayers._cuda")
sick = []
def take_launched():
    if sick:
        raise RuntimeError("cudaFuncGetName: an illegal instruction was encountered")
    return [kernels.pop() for _ in range(len(kernels))]
module.take_launched = take_launched
sys.modules["pylayers._cuda"] = module

def test_one(): kernels.append("k1")
def test_hangs(): time.sleep(600)
def test_two(): kernels.append("k2")
def test_dies(): os.abort()
def test_traps():
    kernels.append("k3")
    sick.append(1)
    raise RuntimeError("an illegal instruction was encountered")
def test_three(): kernels.append("k1")
"""


@pytest.mark.parametrize("words", [(), ("-n", "1")], ids=["alone", "a worker"])
def test_a_test_that_hangs_or_dies_starves_no_other(
    words: tuple[str, ...], runner: steps.Runner, tmp_path: Path
) -> None:
    if words:
        pytest.importorskip("xdist")
    path = tmp_path / "test_sample.py"
    path.write_text(HANGING)
    record, _ = runner.run(replace(pytest_step(path, *words), test_limit_s=15.0), 300)
    assert (record["passed"], record["failed"], record["unfinished"]) == (3, 3, [])
    assert {name.rpartition("::")[2] for name in record["lost"]} == {"test_hangs", "test_dies", "test_traps"}
    assert record["status"] == "failed" and record["reason"].startswith("ended its process: ")
    assert {name: seen["passed"] for name, seen in record["launched"].items()} == {"k1": 2, "k2": 1}


CASES = """
    import json, pathlib, sys
    words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    done = pathlib.Path(words["--finished"]).read_text().splitlines()
    last = pathlib.Path(words["--suspects"]).read_text().splitlines()
    for case in sorted(["a", "hangs", "z"], key=lambda case: case in last):
        if case in done:
            continue
        bad = case == "hangs"
        row = {"kind": "row", "ours": True, "case": case, "status": "error" if bad else "measured",
               "reason": "hung: did not end within 60 s" if bad else ""}
        with open(words["--json"], "a") as file:
            file.write(json.dumps(row) + chr(10))
        if bad:
            raise SystemExit(3)
"""


def test_a_case_that_hangs_starves_no_other(runner: steps.Runner) -> None:
    record, lines = runner.run(step(CASES, writes="row"), 120)
    assert [line["case"] for line in lines] == ["a", "hangs", "z"] and record["starts"] == 2
    assert record["status"] == "failed" and record["rc"] == 3
    assert (steps.finished(lines), steps.suspects(lines)) == (["a", "z"], ["hangs"])
    _, lines = runner.run(step(CASES, writes="row"), 120, ["a"], ["hangs"])
    assert [line["case"] for line in lines] == ["z", "hangs"]


def test_a_process_that_cannot_be_killed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an uninterruptible call of a driver: waiting for it would be the end of the run."""
    monkeypatch.setattr(steps, "GRACE_S", 0.05)
    monkeypatch.setattr(steps, "kill_group", lambda group, number: None)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert steps.end(process) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
