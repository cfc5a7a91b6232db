"""Times every row of a variant table on the family's cases: `python -m evidence.tune gemm --out FILE --minutes 9`.

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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks.families.gemm import family as bench_gemm
from benchmarks.harness import places, roofline, run
from benchmarks.harness.contract import Absent, Arrays, Call, Case, Contender, Deviation, Family, Place
from benchmarks.harness.results import OUT_OF_TIME, Record, append, read
from benchmarks.harness.settings import Settings
from pylayers import backends
from pylayers.errors import expected

from . import choices, gpu_stages

# The most valuable first: what networks are made of, then squares, then what is rare.
VALUE = ("Llama", "square", "vocabulary", "batched", "layout", "skinny", "odd", "tiny")
SETTINGS = Settings(rounds=9, sample_s=1e-3, case_s=3.0)


def cases(quick: bool = False) -> list[Case]:
    """The plain products, the most valuable first; a table knows no epilogue."""
    plain = [case for case in bench_gemm.cases if not case.params["epilogue"] and (case.quick or not quick)]
    return sorted(
        plain, key=lambda c: next((i for i, word in enumerate(VALUE) if c.group.startswith(word)), len(VALUE))
    )


def precision(case: Case) -> str:
    """What float32 may be rounded to."""
    return "tf32" if case.dtype == "tf32" else "float32"


def operands(case: Case, x: Arrays) -> tuple[Any, Any]:
    """a (batches, m, k) and b (batches, k, n) as the plan sees them."""
    a, b = bench_gemm.matrices(case, x)
    return (a[None], b[None]) if a.ndim == 2 else (a, b)


def variants(module: Any, case: Case, x: Arrays, spec: Any) -> list[str]:
    """Rows that the plan accepts, as "name*splits"; splits while fewer blocks would leave multiprocessors idle."""
    a, b = operands(case, x)
    found: dict[str, None] = {}
    for name, row_a, row_b, row_precision, capability, tile_m, tile_n, tile_k, _, cluster, _ in module.gemm_rows():
        if (row_a, row_b, row_precision) != (
            str(a.dtype),
            str(b.dtype),
            precision(case),
        ) or capability > spec.capability:
            continue
        if capability == 80 and spec.capability == 90:
            continue  # the driver would have to translate it
        tiles = a.shape[0] * -(-a.shape[1] // (tile_m * cluster)) * -(-b.shape[2] // tile_n) * cluster
        splits = 1
        while splits == 1 or (splits * tiles <= 2 * spec.sms and splits * tile_k * 2 <= a.shape[2]):
            try:
                plan = module.plan_gemm(a, b, False, precision(case), spec, f"{name}*{splits}")
            except (ValueError, NotImplementedError):
                break  # its plan requires what this case has not
            found[canonical(plan.variant)] = None
            splits *= 2
    return list(found)


def canonical(variant: str) -> str:
    """The plan leaves "*1" out."""
    return variant if "*" in variant else f"{variant}*1"


class Variants:
    """The family with each variant as a contender."""

    name, changed = "tune gemm", bench_gemm.changed

    def __init__(self, quick: bool) -> None:
        self.cases = [dataclasses.replace(case, family=self.name) for case in cases(quick)]

    def inputs(self, case: Case, place: Place) -> Arrays:
        return bench_gemm.inputs(case, place)

    def contenders(self, case: Case, place: Place) -> list[Contender | Absent]:
        """The plan's own choice first."""
        native: Any = backends.load(place.backend)
        x = bench_gemm.inputs(case, place)
        a, b = operands(case, x)
        spec = native.module.device_spec(0)
        how, gemm = bench_gemm.arithmetic(case), native.gemm

        def entry(label: str, variant: str) -> Contender:
            def prepare(arrays: Arrays) -> Call:
                left, right = bench_gemm.matrices(case, arrays)
                scales = {key: arrays.get(key) for key in ("scale_a", "scale_b")}
                named = {"precision": precision(case), "variant": variant, **scales}
                return lambda: (gemm(left, right, **named),)

            return Contender(label, "", how, prepare, ours=True)

        try:
            own = canonical(module_choice(native.module, a, b, case, spec))
        except NotImplementedError as error:
            return [Absent(choices.OWN, str(error), ours=True)]
        others = [v for v in variants(native.module, case, x, spec) if v != own]
        return [entry(f"{own} ({choices.OWN})", own), *(entry(variant, variant) for variant in others)]

    def deviation(self, case: Case, place: Place, inputs: Arrays, results: Sequence[Any]) -> Deviation:
        return bench_gemm.deviation(case, place, inputs, results)


def module_choice(module: Any, a: Any, b: Any, case: Case, spec: Any) -> str:
    """What the model of the plan takes, whatever was measured before."""
    return str(module.plan_gemm_measured(a, b, precision(case), spec, "", []).variant)


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
    device: str, seconds: float, quick: bool, sink: Callable[[Record], None], known: Iterable[Record] = ()
) -> None:
    """Measures case after case until the time is up, without those that are known."""
    deadline = time.monotonic() + seconds
    facts = gpu_stages.facts(device)
    facts["gpu"] = facts["machine"].get("gpu", "")
    place, _ = places.open_place(device, seed=0)
    module: Any = backends.load(place.backend)
    sink(facts | {"capability": module.module.device_spec(0).capability})
    family, done = Variants(quick), measured(known, facts)
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
        for row in rows:
            sink(row.record())
        good = [row for row in rows if row.status == "measured"]
        best = min(good, key=lambda row: median(row.samples_s)).contender if good else rows[0].reason
        print(f"{case.name}: {len(good)} of {len(rows)} variants, {best}, {time.monotonic() - began:.1f} s", flush=True)
    sink({"kind": "end", "seconds": seconds - (deadline - time.monotonic())})


def main() -> int:
    """0; the choices are written where that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m evidence.tune", description=__doc__)
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
        known = read(given.out).records if given.out.exists() else []
        tune(given.device, 60 * given.minutes, given.quick, lambda record: append(given.out, [record]), known)
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
