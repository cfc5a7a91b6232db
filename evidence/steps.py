"""Steps of a run: commands with a time limit, each in a process group of its own, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.results import Record

TAIL = 3000  # characters of a step's output that its record keeps
LOGGED = 100_000  # and the log
OUT_OF_TIME = "no time left"  # why a benchmark leaves a case out
SECONDS = "{seconds}"  # in a command: the time that its work has, START_S less than the step
START_S = 10.0
GRACE_S = 3.0  # between asking processes to end and ending them
NO_TESTS = 5  # pytest's exit status when none was selected


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    phase: str
    command: tuple[str, ...]
    limit_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    sources: str = ""  # hash of the files, beside the kernels, that say what it does
    impossible: str = ""  # why it cannot run here
    witness: bool = False  # whether it is a pytest run that notes its tests
    writes: str = ""  # the kind of the result lines that it writes


class Runner:
    """Runs steps, several at once if need be; ends their processes when it is stopped."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log = root, log
        self.lock, self.running, self.stopped = threading.Lock(), set[int](), False

    def run(self, step: Step, limit_s: float) -> tuple[Record, list[Record]]:
        """The record of the step, and the result lines that it wrote."""
        with tempfile.TemporaryDirectory() as folder:
            notes, rows, output = (Path(folder, name) for name in ("witness.jsonl", "rows.jsonl", "output"))
            seconds = max(limit_s - START_S, 1.0)
            command = [word.replace(SECONDS, f"{seconds:.0f}") for word in step.command]
            if step.witness:
                command += ["-p", "evidence.witness", f"--witness={notes}"]
            if step.writes:
                command += ["--json", str(rows)]
            began = time.monotonic()
            rc, timed_out = self.call(command, {**os.environ, **step.environment}, output, limit_s)
            took = round(time.monotonic() - began, 2)
            text = output.read_text(errors="replace")
            self.keep(step, text)
            lines = read_lines(rows)
            record = {"rc": rc, "seconds": took, "tail": text[-TAIL:], **counted(read_lines(notes))}
        status, reason = judged(step, record, lines, timed_out, limit_s)
        return {**described(step), "status": status, "reason": reason, **record}, lines

    def call(self, command: list[str], environment: dict[str, str], output: Path, limit_s: float) -> tuple[int, bool]:
        """Exit status, and whether the time was up; no process of the command is left."""
        with output.open("wb") as file:
            try:
                process = subprocess.Popen(
                    command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=file,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                file.write(str(error).encode())
                return 127, False
        with self.lock:
            self.running.add(process.pid)
        try:
            if self.stopped:
                raise subprocess.TimeoutExpired(command, 0)
            return process.wait(limit_s), False
        except subprocess.TimeoutExpired:
            return end(process), True
        finally:
            kill_group(process.pid, signal.SIGKILL)  # what it left in the background
            with self.lock:
                self.running.discard(process.pid)

    def keep(self, step: Step, text: str) -> None:
        """Adds the output to the log."""
        with self.lock, self.log.open("a", errors="replace") as log:
            log.write(f"\n===== {step.phase}: {step.name}\n$ {' '.join(step.command)}\n{text[-LOGGED:]}")

    def stop(self) -> None:
        """Ends everything that runs; steps that begin later end at once."""
        with self.lock:
            self.stopped = True
            for group in self.running:
                kill_group(group, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> int:
    """Asks the process group to end, then ends it."""
    kill_group(process.pid, signal.SIGTERM)
    try:
        return process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        kill_group(process.pid, signal.SIGKILL)
        return process.wait()


def kill_group(group: int, number: int) -> None:
    """Sends a signal to every process of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def described(step: Step) -> Record:
    """What a record says of its step."""
    return {"kind": "test", "name": step.name, "phase": step.phase, "command": list(step.command),
            "sources": step.sources}  # fmt: skip


def not_run(step: Step, status: str, reason: str) -> Record:
    """The record of a step that did not run."""
    return {**described(step), "status": status, "reason": reason}


def judged(step: Step, record: Record, lines: list[Record], timed_out: bool, limit_s: float) -> tuple[str, str]:
    """Status and reason."""
    if timed_out:
        still = ", ".join(record["unfinished"][:3])
        return "failed", f"ended after {limit_s:.0f} s" + (f" in {still}" if still else "")
    if step.witness and record["rc"] == NO_TESTS:
        return "failed", "no test was selected"
    if record["rc"]:
        return "failed", f"exit status {record['rc']}"
    if step.witness and not record["passed"]:
        return "failed", "no test passed"
    if step.writes and not any(line["kind"] == step.writes for line in lines):
        return "failed", f"wrote no {step.writes}"
    ours = [line["status"] for line in lines if line["kind"] == "row" and line["ours"]]
    if bad := ours.count("error") + ours.count("rejected"):
        return "failed", f"{bad} of {len(ours)} rows of ours are wrong or were rejected"
    if late := sum(line.get("reason") == OUT_OF_TIME for line in lines):
        return "failed", f"no time left for {late} cases"
    return "passed", ""


def finished(lines: list[Record]) -> list[str]:
    """The cases that were neither left for another run nor shown to be wrong."""
    rows = [line for line in lines if line["kind"] == "row"]
    bad = {row["case"] for row in rows if row["ours"] and row["status"] in ("error", "rejected")}
    late = {row["case"] for row in rows if row["reason"] == OUT_OF_TIME}
    return sorted({row["case"] for row in rows} - bad - late)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that may be missing or cut off."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def counted(notes: list[dict[str, Any]]) -> Record:
    """What a witness saw: tests by outcome, those that failed or never ended, and for each kernel its tests."""
    outcome = {line["test"]: line["outcome"] for line in notes if "test" in line}  # the last word counts
    count = {word: list(outcome.values()).count(word) for word in ("passed", "failed", "skipped")}
    kernels: dict[str, dict[str, int]] = {}
    for test, names in {line["test"]: line["kernels"] for line in notes if line.get("kernels")}.items():
        for name in names:
            seen = kernels.setdefault(name, {"passed": 0, "failed": 0})
            seen["passed" if outcome[test] == "passed" else "failed"] += 1
    failures = [test for test, word in outcome.items() if word == "failed"]
    unfinished = [line["began"] for line in notes if "began" in line and line["began"] not in outcome]
    return {**count, "failures": failures[:50], "unfinished": unfinished[:50], "launched": kernels}
