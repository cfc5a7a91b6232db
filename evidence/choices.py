"""The table of measured choices that `csrc/gemm_plan.cu` reads: made of tuning files, written as C++."""

from __future__ import annotations

import re
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.harness.dtypes import SIZE
from benchmarks.harness.results import Results, Row
from benchmarks.show.figures import EQUAL

from .machine_code import ROOT

TABLE = ROOT / "csrc/gemm_choices.hpp"
OWN = "the plan's choice"
OFF, ON = "    // clang-format off\n", "    // clang-format on\n"
CHUNK_BYTES = 16  # rows that TMA reads begin at multiples of it
Choice = tuple[str, str, str, int, str, str, int, int, int, int, str]  # as `GemmMeasurement` in csrc/ops.hpp


def lies(rows: int, columns: int, row_bytes: int, column_bytes: int, size: int) -> str:
    """Along what a matrix of aligned memory has its neighbours: "rows", "columns", or "any" where rows begin anywhere.

    Strides in bytes; where there is one row or column, its stride means nothing. As `access` in csrc/gemm_plan.cu.
    """
    if (column_bytes == size or columns <= 1) and (rows <= 1 or row_bytes % CHUNK_BYTES == 0):
        return "rows"
    if (row_bytes == size or rows <= 1) and (columns <= 1 or column_bytes % CHUNK_BYTES == 0):
        return "columns"
    return "any"


def problem(row: Row, capability: int) -> tuple[Any, ...]:
    """The fields of a choice that say what for."""
    p = row.params
    a, b = ("float32" if dtype == "tf32" else dtype for dtype in (row.dtype, p["b_dtype"]))
    m, n, k, batches = (int(p[name]) for name in ("m", "n", "k", "batch"))

    def matrix(rows: int, columns: int, transposed: bool, dtype: str) -> str:
        size = SIZE[dtype]
        strides = (size, rows * size) if transposed else (columns * size, size)
        if batches > 1 and rows * columns * size % CHUNK_BYTES:
            return "any"  # matrices of a batch begin anywhere
        return lies(rows, columns, *strides, size)

    layout = p["layout"]
    where = matrix(m, k, layout[0] == "t", a), matrix(k, n, layout[1] == "t", b)
    precision = "tf32" if row.dtype == "tf32" else "float32"
    return a, b, precision, capability, *where, max(batches, 1), m, n, k


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
    found: dict[tuple[Any, ...], str] = {}
    for results in files:
        capability = next(header["capability"] for header in results.of("header"))
        cases: dict[str, list[Row]] = {}
        for row in results.rows():
            cases.setdefault(row.case, []).append(row)
        for rows in cases.values():
            if best := quickest(rows):
                found[problem(rows[0], capability)] = best
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
    """What was measured now replaces all that was written for the same capability."""
    capabilities = {row[3] for row in new}
    return sorted([*(row for row in old if row[3] not in capabilities), *new])
