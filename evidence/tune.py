"""Times every row of a family's variant tables on its cases: `python -m evidence.tune gemm --out FILE --minutes 9`.

A case gives every variant that its plan accepts, with its useful numbers of splits, the same arrays, in turns, and
judges them as the benchmark does. Every sample is kept. Begun anew with the same file it goes on where it ended, also
after a variant that hung and ended it. ``--write`` makes the table that the plan reads of this and of
earlier files (``--from``): for each case the quickest, or the plan's own choice where that is as quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, cast

from benchmarks.families.conv import family as bench_conv
from benchmarks.families.gemm import family as bench_gemm
from benchmarks.harness import places, roofline, run
from benchmarks.harness.contract import Absent, Arrays, Call, Case, Contender, Deviation, Family, Place
from benchmarks.harness.results import OUT_OF_TIME, Record, append, read
from benchmarks.harness.settings import Settings
from pylayers import backends, ops
from pylayers.errors import expected

from . import choices, gpu_stages

# How groups of cases begin, the most valuable first: what networks are made of, then squares, then what is rare.
VALUE = ("Llama", "ResNet", "ConvNeXt", "square", "vocabulary", "batched", "layout", "skinny", "odd", "tiny")
SETTINGS = Settings(rounds=9, sample_s=1e-3, case_s=3.0)


class Tuned(NamedTuple):
    """A family that has tables of variants, and how its cases are planned and called."""

    bench: Any  # its benchmark
    arithmetic: Callable[[Case], str]
    question: Callable[[Case, Arrays], dict[str, Any]]  # what the plan is asked
    call: Callable[[Any, Case, Arrays, str], Call]  # of the backend, by this variant


def precision(case: Case) -> str:
    """What float32 may be rounded to."""
    return "tf32" if case.dtype == "tf32" else "float32"


def gemm_question(case: Case, x: Arrays) -> dict[str, Any]:
    """a (batches, m, k), b (batches, k, n) and the precision."""
    a, b = bench_gemm.matrices(case, x)
    operands = [a[None], b[None]] if a.ndim == 2 else [a, b]
    return {"family": "gemm", "operands": operands, "precision": precision(case)}


def gemm_call(native: Any, case: Case, x: Arrays, variant: str) -> Call:
    """a b, scaled where the case says so."""
    a, b = bench_gemm.matrices(case, x)
    named = {"precision": precision(case), "variant": variant, **{key: x.get(key) for key in ("scale_a", "scale_b")}}
    return lambda: (native.gemm(a, b, **named),)


def conv_question(case: Case, x: Arrays) -> dict[str, Any]:
    """x, weight and y, of which only the shape counts."""
    x = bench_conv.logical(case, x)
    n, k = x["x"].shape[0], x["weight"].shape[0]
    y = types.SimpleNamespace(
        data=types.SimpleNamespace(ptr=0, device_id=0),
        dtype=x["x"].dtype, shape=(n, k, *bench_conv.out_size(case)), strides=x["x"].strides,
    )  # fmt: skip
    return {"family": bench_conv.OPS[case.params["direction"]], "operands": [x["x"], x["weight"], y]}


def conv_call(native: Any, case: Case, x: Arrays, variant: str) -> Call:
    """The case's direction."""
    p, x = case.params, bench_conv.logical(case, x)
    how = ops.geometry(x["weight"], p["stride"], p["padding"], 1, p["groups"]).arguments
    if p["direction"] == "forward":
        return lambda: (native.conv_forward(x["x"], x["weight"], None, *how, None, variant=variant),)
    if p["direction"] == "input gradient":
        return lambda: (native.conv_input_gradient(x["dy"], x["weight"], x["x"].shape, *how, variant=variant),)
    return lambda: (native.conv_weight_gradient(x["dy"], x["x"], x["weight"].shape, *how, variant=variant),)


FAMILIES = {
    "gemm": Tuned(bench_gemm, bench_gemm.arithmetic, gemm_question, gemm_call),
    "conv": Tuned(bench_conv, bench_conv.arithmetic, conv_question, conv_call),
}


def cases(family: str, quick: bool = False) -> list[Case]:
    """Those without an epilogue, of which a table knows nothing; the most valuable first."""
    every = FAMILIES[family].bench.cases
    plain = [case for case in every if not case.params.get("epilogue") and (case.quick or not quick)]
    return sorted(
        plain, key=lambda c: next((i for i, word in enumerate(VALUE) if c.group.startswith(word)), len(VALUE))
    )


def canonical(variant: str) -> str:
    """The plan leaves "*1" out."""
    return variant if "*" in variant else f"{variant}*1"


class Variants:
    """The family with each variant as a contender."""

    def __init__(self, family: str, quick: bool) -> None:
        self.tuned = FAMILIES[family]
        self.name, self.changed = f"tune {family}", self.tuned.bench.changed
        self.cases = [dataclasses.replace(case, family=self.name) for case in cases(family, quick)]
        self.problems: dict[str, tuple[Any, ...]] = {}  # of each case, in the words of its plan

    def inputs(self, case: Case, place: Place) -> Arrays:
        return cast(Arrays, self.tuned.bench.inputs(case, place))

    def contenders(self, case: Case, place: Place) -> list[Contender | Absent]:
        """The plan's own choice first."""
        native: Any = backends.load(place.backend)
        asked = self.tuned.question(case, self.inputs(case, place)) | {"spec": native.module.device_spec(0)}
        how, call = self.tuned.arithmetic(case), self.tuned.call

        def entry(label: str, variant: str) -> Contender:
            return Contender(label, "", how, lambda arrays: call(native, case, arrays, variant), ours=True)

        try:
            plan = model(native.module, asked)
        except NotImplementedError as error:
            return [Absent(choices.OWN, str(error), ours=True)]
        own, self.problems[case.name] = canonical(plan.variant), plan.problem
        others = [v for v in native.module.possible_variants(**asked) if v != own]
        return [entry(f"{own} ({choices.OWN})", own), *(entry(variant, variant) for variant in others)]

    def deviation(self, case: Case, place: Place, inputs: Arrays, results: Sequence[Any]) -> Deviation:
        return cast(Deviation, self.tuned.bench.deviation(case, place, inputs, results))


def model(module: Any, asked: dict[str, Any]) -> Any:
    """The plan as if nothing had been measured before."""
    return module.plan(measured=[], **asked)


def measured(known: Iterable[Record], facts: Record) -> set[str]:
    """The cases of earlier runs on this GPU and these kernels: with their figures, or found to hang."""
    found, same = set[str](), False
    for record in known:
        if record["kind"] == "header":
            same = all(record.get(key) == facts.get(key) for key in ("device", "kernels", "gpu"))
        elif record["kind"] == "row" and same and record["reason"] != OUT_OF_TIME:
            found.add(record["case"])
    return found


def tune(
    name: str, device: str, seconds: float, quick: bool, sink: Callable[[Record], None], known: Iterable[Record] = ()
) -> None:
    """Measures case after case until the time is up, without those that are known."""
    deadline = time.monotonic() + seconds
    facts = gpu_stages.facts(device)
    facts["gpu"] = facts["machine"].get("gpu", "")
    place, _ = places.open_place(device, seed=0)
    native: Any = backends.load(place.backend)
    sink(facts | {"capability": native.module.device_spec(0).capability})
    family, done = Variants(name, quick), measured(known, facts)
    settings = dataclasses.replace(SETTINGS, deadline=deadline, hang_s=gpu_stages.HANG_S)
    todo = [case for case in family.cases if case.name not in done]
    ceilings = roofline.Roofline(place).measure()
    sink(ceilings.record())
    for number, case in enumerate(todo):
        if time.monotonic() >= deadline:
            print(f"no time left for {len(todo) - number} of {len(family.cases)} cases")
            break
        began = time.monotonic()
        rows = run.rows_of(cast(Family, family), case, place, ceilings, settings, sink)
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
    parser = argparse.ArgumentParser(prog="python -m evidence.tune", description=__doc__)
    parser.add_argument("family", choices=FAMILIES, help="what has tables of variants")
    parser.add_argument("--out", type=Path, metavar="FILE", help="measure, and add the lines to this file")
    parser.add_argument("--minutes", type=float, default=9.0, help="when measuring has to be over")
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda", help="emulated: a rehearsal")
    parser.add_argument("--quick", action="store_true", help="only the cases of `pylayers bench --quick`")
    parser.add_argument("--from", type=Path, nargs="*", default=[], dest="files", help="earlier files, oldest first")
    parser.add_argument("--write", type=Path, nargs="?", const=choices.TABLE, metavar="TABLE", help="make the table")
    given = parser.parse_args()
    if given.out is not None:
        known = read(given.out).records if given.out.exists() else []
        to = given.out
        tune(given.family, given.device, 60 * given.minutes, given.quick, lambda record: append(to, [record]), known)
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
