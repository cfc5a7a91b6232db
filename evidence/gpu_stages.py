"""What `gpu_run` starts in processes of their own: `python -m evidence.gpu_stages STAGE`."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import importlib.util
import os
import sys
import time
from pathlib import Path

from benchmarks.harness.results import SCHEMA, Record, append

from .machine_code import ROOT, Kernel, kernels
from .sources import searched

HANG_S = 60.0  # for a case; torch.compile is done with the largest by then


def test_module(name: str) -> object:
    """A module that the tests import by this name."""
    sys.path[:0] = map(str, searched(ROOT))
    return importlib.import_module(name)


def compiled_module() -> Path | None:
    """The file of the installed ``pylayers._cuda``."""
    spec = importlib.util.find_spec("pylayers._cuda")
    return Path(spec.origin) if spec and spec.origin else None


def facts(device: str) -> Record:
    """The header of a run: the machine, what its GPU can do, and every kernel of the compiled module."""
    from benchmarks.harness import machine, places

    if device == "emulated":
        test_module("emulated").load()  # type: ignore[attr-defined]
    place, _ = places.open_place(device, seed=0)
    module = compiled_module()
    found = kernels(module) if module else dict[str, Kernel]()
    capability = int(place.xp.cuda.Device().compute_capability) if device == "cuda" else None
    about = {name: dataclasses.asdict(kernel) for name, kernel in found.items()}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"kind": "header", "schema": SCHEMA, "started": now, "device": device, "machine": machine.describe(place),
            "capability": capability, "kernels": about}  # fmt: skip


def build_emulator() -> None:
    """Compiles the emulated kernels and those of the instructions' tests with g++."""
    emulated = test_module("emulated")
    for name in ("_emulated", "_ptx"):
        emulated.build(name=name)  # type: ignore[attr-defined]


def names_in(path: Path | None) -> frozenset[str]:
    """The lines of a file; none without one."""
    return frozenset(path.read_text().splitlines() if path else ())


def bench(given: argparse.Namespace) -> None:
    """Measures what is not finished until the time is up; each record is on the disk before the next is made."""
    from benchmarks.harness import places, run
    from benchmarks.harness.settings import QUICK, Settings

    if given.device == "emulated":
        test_module("emulated").load()  # type: ignore[attr-defined]
    place, missing = places.open_place(given.device, seed=0)
    settings = dataclasses.replace(
        QUICK if given.quick else Settings(), deadline=time.monotonic() + given.seconds,
        finished=names_in(given.finished), suspects=names_in(given.suspects), by_value=True, hang_s=HANG_S,
    )  # fmt: skip
    run.run(run.load(given.families), place, settings, lambda record: append(given.json, [record]), no_gpu=missing)


def main() -> None:
    """One stage."""
    parser = argparse.ArgumentParser(prog="python -m evidence.gpu_stages", description=__doc__)
    parser.add_argument("stage", choices=["facts", "emulator", "instructions", "bench"])
    parser.add_argument("families", nargs="*")
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets the lines of `facts` and `bench`")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--finished", type=Path, metavar="FILE", help="names of cases to leave out, one a line")
    parser.add_argument("--suspects", type=Path, metavar="FILE", help="names of cases that come last")
    given = parser.parse_args()
    os.chdir(ROOT)
    if given.stage == "facts":
        append(given.json, [facts(given.device)])
    elif given.stage == "emulator":
        build_emulator()
    elif given.stage == "instructions":
        test_module("instructions").build_for_gpu()  # type: ignore[attr-defined]
    else:
        bench(given)


if __name__ == "__main__":
    main()
