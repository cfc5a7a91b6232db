"""Times every row of a variant table on the family's cases: `python -m benchmarks.tune gemm --out FILE --minutes 9`.

A case gives every variant that its plan accepts, with its useful numbers of splits, the same arrays, in turns, and
judges them as the benchmark does. Every sample is kept. ``--write`` makes the table that the plan reads of this and of
earlier files (``--from``): for each case the quickest, or the plan's own choice where that is as quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from pylayers import backends
from pylayers.errors import expected

from . import bench_gemm, choices, gpu_stages, measure, places, roofline
from .family import Absent, Arrays, Call, Case, Contender, Deviation, Family, Place
from .results import Record, append, read

# The most valuable first: what networks are made of, then squares, then what is rare.
VALUE = ("Llama", "square", "vocabulary", "batched", "layout", "skinny", "odd", "tiny")
SETTINGS = measure.Settings(rounds=9, sample_s=1e-3, case_s=3.0)


def cases(quick: bool = False) -> list[Case]:
    """The plain products, the most valuable first; a table knows no epilogue."""
    plain = [case for case in bench_gemm.cases if not case.params["epilogue"] and (case.quick or not quick)]
    return sorted(
        plain, key=lambda c: next((i for i, word in enumerate(VALUE) if c.group.startswith(word)), len(VALUE))
    )


def precision(case: Case) -> str:
    """What float32 may be rounded to."""
    return "tf32" if case.dtype == "tf32" else "float32"


def question(case: Case, x: Arrays) -> dict[str, Any]:
    """What the plan is asked: a (batches, m, k), b (batches, k, n) and the precision."""
    a, b = bench_gemm.matrices(case, x)
    return {"operands": [a[None], b[None]] if a.ndim == 2 else [a, b], "precision": precision(case)}


def canonical(variant: str) -> str:
    """The plan leaves "*1" out."""
    return variant if "*" in variant else f"{variant}*1"


class Variants:
    """The family with each variant as a contender."""

    name, changed = "tune gemm", bench_gemm.changed

    def __init__(self, quick: bool) -> None:
        self.cases = [dataclasses.replace(case, family=self.name) for case in cases(quick)]
        self.problems: dict[str, tuple[Any, ...]] = {}  # of each case, in the words of its plan

    def inputs(self, case: Case, place: Place) -> Arrays:
        return bench_gemm.inputs(case, place)

    def contenders(self, case: Case, place: Place) -> list[Contender | Absent]:
        """The plan's own choice first."""
        native: Any = backends.load(place.backend)
        asked = question(case, bench_gemm.inputs(case, place)) | {"spec": native.module.device_spec(0)}
        how, gemm = bench_gemm.arithmetic(case), native.gemm

        def entry(label: str, variant: str) -> Contender:
            def prepare(arrays: Arrays) -> Call:
                left, right = bench_gemm.matrices(case, arrays)
                scales = {key: arrays.get(key) for key in ("scale_a", "scale_b")}
                named = {"precision": precision(case), "variant": variant, **scales}
                return lambda: (gemm(left, right, **named),)

            return Contender(label, "", how, prepare, ours=True)

        try:
            plan = model(native.module, asked)
        except NotImplementedError as error:
            return [Absent(choices.OWN, str(error), ours=True)]
        own, self.problems[case.name] = canonical(plan.variant), plan.problem
        others = [v for v in possible(native.module, asked) if v != own]
        return [entry(f"{own} ({choices.OWN})", own), *(entry(variant, variant) for variant in others)]

    def deviation(self, case: Case, place: Place, inputs: Arrays, results: Sequence[Any]) -> Deviation:
        return bench_gemm.deviation(case, place, inputs, results)


def model(module: Any, asked: dict[str, Any]) -> Any:
    """The plan as if nothing had been measured before."""
    return module.plan("gemm", measured=[], **asked)


def possible(module: Any, asked: dict[str, Any]) -> list[str]:
    """What is worth measuring, each as "name*splits"."""
    names: list[str] = module.possible_variants("gemm", **asked)
    return names


def tune(device: str, seconds: float, quick: bool, sink: Callable[[Record], None]) -> None:
    """Measures case after case until the time is up."""
    deadline = time.monotonic() + seconds
    facts = gpu_stages.facts(device)
    place, _ = places.open_place(device, seed=0)
    native: Any = backends.load(place.backend)
    sink(facts | {"capability": native.module.device_spec(0).capability})
    family = Variants(quick)
    ceilings = roofline.Roofline(place).measure()
    sink(ceilings.record())
    for number, case in enumerate(family.cases):
        if time.monotonic() >= deadline:
            print(f"no time left for {len(family.cases) - number} of {len(family.cases)} cases")
            break
        began = time.monotonic()
        rows = measure.measure(cast(Family, family), case, place, ceilings, SETTINGS)
        good = [row for row in rows if row.status == "measured"]
        if case.name in family.problems:
            sink({"kind": "problem", "case": case.name, "problem": family.problems[case.name]})
        for row in rows:
            sink(row.record())
        best = min(good, key=lambda row: median(row.samples_s)).contender if good else rows[0].reason
        print(f"{case.name}: {len(good)} of {len(rows)} variants, {best}, {time.monotonic() - began:.1f} s", flush=True)
    sink({"kind": "end", "seconds": seconds - (deadline - time.monotonic())})


def main() -> int:
    """0; the choices are written where that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune", description=__doc__)
    parser.add_argument("family", help="gemm, the family with a table of variants and choices")
    parser.add_argument("--out", type=Path, metavar="FILE", help="measure, and add the lines to this file")
    parser.add_argument("--minutes", type=float, default=9.0, help="when measuring has to be over")
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda", help="emulated: a rehearsal")
    parser.add_argument("--quick", action="store_true", help="only the cases of `pylayers bench --quick`")
    parser.add_argument("--from", type=Path, nargs="*", default=[], dest="files", help="earlier files, oldest first")
    parser.add_argument("--write", type=Path, nargs="?", const=choices.TABLE, metavar="TABLE", help="make the table")
    given = parser.parse_args()
    if given.family != "gemm":
        raise expected("tune", "family", "gemm, the family with a table of variants", repr(given.family))
    if given.out is not None:
        tune(given.device, 60 * given.minutes, given.quick, lambda record: append(given.out, [record]))
    if given.write is not None:
        files = [read(path) for path in [*given.files, *([given.out] if given.out else [])]]
        measured_on = {header["device"] for results in files for header in results.of("header")}
        if given.write.resolve() == choices.TABLE and measured_on != {"cuda"}:
            raise expected("tune", "write", "files measured on a GPU for the table of the sources", repr(measured_on))
        found = choices.choices(files)
        text = given.write.read_text()
        given.write.write_text(choices.with_rows(text, choices.together(choices.written(text), found)))
        print(f"{given.write}: {len(found)} choices")
    return 0


if __name__ == "__main__":
    sys.exit(main())
