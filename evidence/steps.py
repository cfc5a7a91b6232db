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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.results import HUNG as CASE_HUNG
from benchmarks.harness.results import LOST, OUT_OF_TIME, Record

from .machine_code import FAULTS
from .witness import SICK

TAIL = 3000  # characters of a step's output that its record keeps
LOGGED = 100_000  # and the log
SECONDS = "{seconds}"  # in a command: the time that its work has, START_S less than the step
START_S = 10.0
GRACE_S = 3.0  # between asking processes to end and ending them
NO_TESTS = 5  # pytest's exit status when none was selected
ENDED = (0, 1, 5)  # and those of a run that came to its end
LATE, HUNG = "late", "hung"  # what ended a process: the time of its step, or of one test
POLL_S = 0.25


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
    test_limit_s: float = 0.0  # a test that takes longer is ended, and the others go on without it; 0: none is


class Files:
    """What a step's processes leave, and what the next of them is told of it."""

    def __init__(self, folder: Path, step: Step, finished: Sequence[str], suspects: Sequence[str]) -> None:
        self.step, self.finished, self.suspects = step, set(finished), set(suspects)
        self.notes, self.rows, self.output, self.done, self.last = (
            folder / name for name in ("witness.jsonl", "rows.jsonl", "output", "done.txt", "last.txt")
        )

    def command(self, left_s: float) -> list[str]:
        """The step's, without what is done."""
        words = [word.replace(SECONDS, f"{max(left_s - START_S, 1.0):.0f}") for word in self.step.command]
        self.done.write_text("\n".join(sorted(self.known())))
        self.last.write_text("\n".join(sorted(self.suspects)))
        if self.step.witness:
            words += ["-p", "evidence.witness", f"--witness={self.notes}", f"--leave-out={self.done}"]
        if self.step.writes:
            words += ["--json", str(self.rows)]
        if self.step.writes == "row":
            words += ["--finished", str(self.done), "--suspects", str(self.last)]
        return words

    def known(self) -> set[str]:
        """The tests that ended, or the cases that have a row or were finished before."""
        if self.step.writes == "row":
            return self.finished | {line["case"] for line in read_lines(self.rows) if line["kind"] == "row"}
        return {line["test"] for line in read_lines(self.notes) if "test" in line}

    def unfinished(self, for_s: float = 0.0) -> list[str]:
        """The tests that began so long ago and have not ended."""
        known, now = self.known(), time.time()
        began = {line["began"]: line["at"] for line in read_lines(self.notes) if "began" in line}
        return [test for test, at in began.items() if test not in known and now - at >= for_s]

    def overdue(self) -> list[str]:
        """The tests that take longer than any may."""
        return self.unfinished(self.step.test_limit_s) if self.step.witness and self.step.test_limit_s else []

    def go_on(self, rc: int, end: str) -> bool:
        """Whether something is to be done in another process; writes down which tests ended this one."""
        if self.step.writes == "row":
            return rc != 0
        if not self.step.witness:
            return False
        guilty = self.overdue() if end == HUNG else self.unfinished() if rc not in ENDED else []
        with self.notes.open("a") as file:
            for test in guilty:
                file.write(json.dumps({"test": test, "outcome": "failed", "kernels": [], "lost": end or "died"}) + "\n")
        return bool(guilty) or rc == SICK


class Runner:
    """Runs steps, several at once if need be; ends their processes when it is stopped."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log = root, log
        self.lock, self.stopped = threading.Lock(), False

    def run(
        self, step: Step, limit_s: float, finished: Sequence[str] = (), suspects: Sequence[str] = ()
    ) -> tuple[Record, list[Record]]:
        """The record of the step, and the result lines that it wrote.

        A test or a case that hangs, or takes its process with it, is written down; the others go on without it. Of a
        benchmark `finished` names cases to leave out, `suspects` those to take last.
        """
        began, rcs = time.monotonic(), list[int]()
        with tempfile.TemporaryDirectory() as folder:
            files = Files(Path(folder), step, finished, suspects)
            while True:
                left, known = limit_s - (time.monotonic() - began), files.known()
                rc, end = self.call(files.command(left), {**os.environ, **step.environment}, files.output, left, files)
                if rc != NO_TESTS or not rcs:  # after a hang it may have been the last one
                    rcs.append(rc)
                self.keep(step, files.output.read_text(errors="replace"))
                if end == LATE or not files.go_on(rc, end) or files.known() == known:
                    break
            text, lines = files.output.read_text(errors="replace"), read_lines(files.rows)
            seen = counted(read_lines(files.notes))
        rc = next((rc for rc in (FAULTS, *rcs) if rc in rcs and rc), 0)
        took = round(time.monotonic() - began, 2)
        record = {"rc": rc, "seconds": took, "starts": len(rcs), "tail": text[-TAIL:], **seen}
        status, reason = judged(step, record, lines, end == LATE, limit_s)
        if self.stopped and end == LATE:
            reason = "interrupted"
        return {**described(step), "status": status, "reason": reason, **record}, lines

    def call(
        self, command: list[str], environment: dict[str, str], output: Path, limit_s: float, files: Files
    ) -> tuple[int, str]:
        """Exit status, and what ended it: "" itself, LATE or HUNG; no process of the command is left."""
        with output.open("wb") as file:
            try:
                process = subprocess.Popen(
                    command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=file,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                file.write(str(error).encode())
                return 127, ""
        try:
            late = time.monotonic() + limit_s
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(POLL_S), ""
                if self.stopped or time.monotonic() >= late:
                    return end(process), LATE
                if files.overdue():
                    return end(process), HUNG
        finally:
            kill_group(process.pid, signal.SIGKILL)  # what it left in the background

    def keep(self, step: Step, text: str) -> None:
        """Adds the output to the log."""
        with self.lock, self.log.open("a", errors="replace") as log:
            log.write(f"\n===== {step.phase}: {step.name}\n$ {' '.join(step.command)}\n{text[-LOGGED:]}")

    def stop(self) -> None:
        """Has everything that runs ended before long; steps that begin later end at once."""
        self.stopped = True


def end(process: subprocess.Popen[bytes]) -> int:
    """Asks the process group to end, then ends it; one that even so stays, held by a driver, is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        kill_group(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(GRACE_S)
    return -signal.SIGKILL


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
    if record["lost"]:
        return "failed", f"ended its process: {', '.join(record['lost'][:3])}"
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


def suspects(lines: list[Record]) -> list[str]:
    """The cases after which the device was no more to be had."""
    rows = [line for line in lines if line["kind"] == "row"]
    return sorted({row["case"] for row in rows if row["reason"].startswith((CASE_HUNG, LOST))})


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
    lost = [line["test"] for line in notes if line.get("lost")]
    return {**count, "failures": failures[:50], "unfinished": unfinished[:50], "lost": lost, "launched": kernels}
