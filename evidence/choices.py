"""The table of measured choices that plans read: made of tuning files, written as C++."""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import median

from benchmarks.harness.results import Results, Row
from benchmarks.show.figures import EQUAL

from .machine_code import ROOT

TABLE = ROOT / "csrc/choices.hpp"
OWN = "the plan's choice"
OFF, ON = "    // clang-format off\n", "    // clang-format on\n"
Choice = tuple[str, int, str, int, int, int, int, str]  # as `Measurement` in csrc/variants.hpp


def quickest(rows: Iterable[Row]) -> str:
    """The variant with the least median; the plan's own choice where the difference is none."""
    times = {row.contender: median(row.samples_s) for row in rows if row.status == "measured"}
    if not times:
        return ""
    best = min(times, key=times.__getitem__)
    own = next((name for name in times if OWN in name), best)
    chosen = own if times[own] < (1 + EQUAL) * times[best] else best
    return chosen.partition(" ")[0]


def choices(files: Iterable[Results]) -> list[Choice]:
    """Of tuning files, oldest first, one choice for each problem; later ones count."""
    found: dict[tuple[str, int, str, int, int, int, int], str] = {}
    for results in files:
        problems = {record["case"]: tuple(record["problem"]) for record in results.of("problem")}
        cases: dict[str, list[Row]] = {}
        for row in results.rows():
            cases.setdefault(row.case, []).append(row)
        for case, rows in cases.items():
            if best := quickest(rows):
                found[problems[case]] = best
    return sorted((*key, variant) for key, variant in found.items())


def written(text: str) -> list[Choice]:
    """The rows of the table as it stands."""
    rows = re.findall(r"^    \{(.*)\},$", text, re.MULTILINE)
    return [tuple(int(w) if w.isdigit() else w.strip('"') for w in row.split(", ")) for row in rows]  # type: ignore[misc]


def with_rows(text: str, rows: list[Choice]) -> str:
    """The text of the table with these rows in it; ValueError when it has no place for them."""
    before, off, rest = text.partition(OFF)
    _, on, after = rest.partition(ON)
    if not off or not on:
        raise ValueError(f"tune: expected a table between {OFF.strip()!r} and {ON.strip()!r} in {TABLE.name}")
    lines = (", ".join(f'"{w}"' if isinstance(w, str) else str(w) for w in row) for row in rows)
    return before + off + "".join(f"    {{{line}}},\n" for line in lines) + on + after


def together(old: list[Choice], new: list[Choice]) -> list[Choice]:
    """What was measured now replaces all that was written for the same family and capability."""
    measured = {row[:2] for row in new}
    return sorted([*(row for row in old if row[:2] not in measured), *new])
