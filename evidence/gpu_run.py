"""Everything that only a GPU can tell, in one command: `python -m evidence.gpu_run --out DIR --minutes 9`.

Builds for the GPU present, then tests, sanitizers and benchmarks in order of value, without network. Each step is a
line of ``DIR/run.jsonl`` as soon as it has ended, so that an interrupted run counts; what a record says to be verified
at this source already is skipped. `python -m evidence.report DIR/run.jsonl` keeps what it found.
``--device emulated`` rehearses it: a few tests of each file on the emulator; what needs a GPU is skipped and says so.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.harness.results import Record, append, read

from .gpu_plan import LAUNCHERS, Phase, phases, python
from .machine_code import ROOT, Kernel, require_checkout, running
from .steps import Runner, Step, finished, not_run, suspects

RESULTS = ROOT / "evidence/results"
LEAST_S = 10.0  # a step is not begun with less
OUTPUT, LOG = "run.jsonl", "run.log"  # few files may come back from a machine that is lent, in this order
FACTS_S = 180.0


def now() -> str:
    """The time in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def known_records(paths: Iterable[Path]) -> list[Record]:
    """The records of steps in these files, oldest first."""
    tests = [record for path in paths for record in read(path).of("test")]
    return sorted(tests, key=lambda record: str(record.get("ended", "")))


def ours(step: Step, current: dict[str, Kernel]) -> dict[str, Kernel]:
    """The kernels, by entry, that a benchmark's figures rest on."""
    family = step.name.split()[1]
    beginnings = LAUNCHERS.get(family, ("",))
    return {entry: kernel for entry, kernel in current.items() if kernel.launcher.startswith(beginnings)}


def ran(step: Step, known: list[Record], device: str) -> list[Record]:
    """The records of this step, where it ran."""
    same = [record for record in known if (record["name"], record.get("device")) == (step.name, device)]
    return [record for record in same if record["status"] in ("passed", "failed")]


def at_this_source(step: Step, record: Record, keys: dict[str, Record]) -> bool:
    """Whether a record of the step is of the same sources and the same kernels, of which these are the keys."""
    seen = record.get("kernels", {}).items()
    return step.sources == record["sources"] != "" and all(keys.get(name) == entry["key"] for name, entry in seen)


def known_cases(
    step: Step, known: list[Record], current: dict[str, Kernel], device: str, which: str = "cases"
) -> list[str]:
    """The cases of a benchmark that were measured at this source, or ("suspects") that ended a process."""
    keys = {kernel.name: kernel.key for kernel in current.values()}
    same = [record for record in ran(step, known, device) if at_this_source(step, record, keys)]
    return sorted({case for record in same for case in record.get(which, ())})


def verified(step: Step, known: list[Record], current: dict[str, Kernel], device: str) -> str:
    """When this step last passed with the same sources and the same kernels; "" if it has to run."""
    keys = {kernel.name: kernel.key for kernel in current.values()}
    last = next(reversed(ran(step, known, device)), None)
    if last is None or last["status"] != "passed" or not at_this_source(step, last, keys):
        return ""
    seen = last["kernels"]
    launchers = {entry["launcher"] for entry in seen.values()}
    new = [kernel.name for kernel in current.values() if kernel.launcher in launchers and kernel.name not in seen]
    # A kernel that is new may be one that no test of this step launches; it is tried until some record knows it.
    elsewhere = {name for record in known for name, entry in record.get("kernels", {}).items()
                 if entry["key"] == keys.get(name)}  # fmt: skip
    return "" if set(new) - elsewhere else str(last["ended"])


class Run:
    """One run: its clock, its file, and what is known of the kernels."""

    def __init__(self, out: Path, seconds: float, device: str, chosen: list[str]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.path, self.device, self.chosen = out / OUTPUT, device, chosen
        self.began, self.seconds = time.monotonic(), seconds
        self.runner = Runner(ROOT, out / LOG)
        self.lock = threading.Lock()
        paths = [*RESULTS.glob("*/*.jsonl"), *([self.path] if self.path.exists() else [])]
        self.known, self.records = known_records(paths), list[Record]()
        self.current: dict[str, Kernel] = {}  # the kernels that run here, by entry
        self.broken = ""  # why nothing can be run
        self.gpu = ""  # its name: what another kind has shown counts for this one as if it had not run

    def left(self) -> float:
        """Seconds until it has to be over."""
        return self.began + self.seconds - time.monotonic()

    def note(self, record: Record, lines: Iterable[Record] = ()) -> None:
        """Writes a record, and the lines that belong to it, to the file."""
        record |= {"device": self.device, "gpu": self.gpu, "ended": now()}
        with self.lock:
            append(self.path, [*lines, record])
            self.records.append(record)
            print(line(record), flush=True)

    def phase(self, phase: Phase) -> None:
        """All steps of a phase."""
        end = time.monotonic() + min(phase.share * self.seconds, self.left() - phase.leaves * self.seconds)
        with ThreadPoolExecutor(phase.at_once) as pool:
            for done in [pool.submit(self.step, step, end) for step in phase.steps]:
                done.result()

    def step(self, step: Step, end: float) -> None:
        """One step, unless there is a reason not to run it."""
        if self.chosen and step.phase not in self.chosen:
            return
        room = min(end, self.began + self.seconds) - time.monotonic()
        why = step.impossible or (self.broken if step.phase not in ("build", "ptx") else "")
        if why:
            self.note(not_run(step, "skipped", why))
        elif when := verified(step, self.known, self.current, self.device):
            self.note(not_run(step, "skipped", f"verified at this source: {when}"))
        elif room < LEAST_S or self.runner.stopped:
            self.note(not_run(step, "not run", "interrupted" if self.runner.stopped else "no time left"))
        else:
            record, lines = self.runner.run(step, min(step.limit_s, room), *self.resumed(step))
            if step.writes == "row":
                record["cases"], record["suspects"] = finished(lines), suspects(lines)
            self.note(self.about_kernels(step, record), lines)

    def resumed(self, step: Step) -> list[list[str]]:
        """Of a benchmark the cases that earlier runs measured at this source, and those that ended one."""
        if step.writes != "row":
            return []
        return [known_cases(step, self.known, self.current, self.device, which) for which in ("cases", "suspects")]

    def about_kernels(self, step: Step, record: Record) -> Record:
        """The record with the keys of the kernels that it speaks of."""
        launched: dict[str, Any] = record.pop("launched", {})
        if step.writes == "row":
            launched = dict.fromkeys(ours(step, self.current), {})
        found = {self.current[entry]: seen for entry, seen in launched.items() if entry in self.current}
        record["kernels"] = {k.name: {**seen, "launcher": k.launcher, "key": k.key} for k, seen in found.items()}
        strange = sorted(set(launched) - set(self.current))
        return {**record, "other_kernels": strange} if strange else record

    def learn(self) -> None:
        """Asks a process of its own for the header of this run: the machine and the kernels."""
        command = python("-m", "evidence.gpu_stages", "facts", "--device", self.device)
        step = Step("facts", "build", command, FACTS_S, writes="header")
        record, lines = self.runner.run(step, max(min(FACTS_S, self.left()), 1.0))
        header = lines[0] if record["status"] == "passed" else {}
        kernels = {name: Kernel(**about) for name, about in header.get("kernels", {}).items()}
        if header.get("capability"):
            self.current = running(kernels, header["capability"])
        if not header:
            self.broken = "the module or the GPU cannot be asked: see the step 'facts'"
        elif self.device == "cuda" and not self.current:
            self.broken = "the module was not built, or has no kernel for this GPU"
        self.gpu = header.get("machine", {}).get("gpu", "")
        self.known = [known for known in self.known if known.get("gpu", "") == self.gpu]
        self.note(record, lines)

    def all(self) -> None:
        """Phase after phase."""
        for phase in phases(self.device, self.seconds):
            self.phase(phase)
            if phase.name == "build":
                self.learn()

    def stop(self, *_: object) -> None:
        """Ends the step that runs; the others are recorded as not run."""
        self.runner.stop()


def line(record: Record) -> str:
    """A step in one line."""
    counts = " ".join(f"{record[word]} {word}" for word in ("passed", "failed", "skipped") if record.get(word))
    seconds = f"{record['seconds']:6.1f} s" if "seconds" in record else " " * 8
    why = f"{record['reason']} {counts}".strip()
    return f"{record['status']:8} {record['name']:28} {seconds}  {why}"


def table(records: list[Record]) -> str:
    """Every phase with its steps by status, and every step that failed."""
    names = list(dict.fromkeys(record["phase"] for record in records))
    words = ("passed", "failed", "skipped", "not run")
    rows = [f"{'':12}" + "".join(f"{word:>9}" for word in words)]
    for name in names:
        found = [record["status"] for record in records if record["phase"] == name]
        rows.append(f"{name:12}" + "".join(f"{found.count(word):9}" for word in words))
    return "\n".join(rows + [line(record) for record in records if record["status"] == "failed"])


def main() -> int:
    """0 when no step failed."""
    parser = argparse.ArgumentParser(prog="python -m evidence.gpu_run", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of run.jsonl and run.log")
    parser.add_argument("--minutes", type=float, default=9.0, help="when it has to be over")
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda", help="emulated: a rehearsal")
    parser.add_argument("--phases", nargs="*", default=[], help="only these: build ptx suite sanitizers bench")
    given = parser.parse_args()
    require_checkout("gpu_run")
    os.chdir(ROOT)
    run = Run(given.out.resolve(), 60 * given.minutes, given.device, given.phases)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, run.stop)
    run.all()
    print(f"\n{table(run.records)}\n{run.path}: {len(run.records)} steps in {time.monotonic() - run.began:.0f} s")
    return int(any(record["status"] == "failed" for record in run.records))


if __name__ == "__main__":
    sys.exit(main())
