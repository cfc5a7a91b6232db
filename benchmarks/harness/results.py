"""What a run leaves: one row for each contender of each case with every sample, as JSON, one record a line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .contract import Case

SCHEMA = 1
OUT_OF_TIME = "no time left"  # why a case is left for another run
HUNG, LOST = "hung", "the device was lost"  # how the reason of a case begins that ended its process
Status = Literal["measured", "rejected", "absent", "not measured", "error"]
Record = dict[str, Any]  # one line: {"kind": "header" | "row" | "test" | "roofline" | ..., ...}


@dataclass
class Row:
    """One contender on one case. Medians, rates and ratios are computed from it (`figures`), never stored."""

    family: str
    case: str
    group: str
    dtype: str
    flop: int
    bytes: int
    params: Mapping[str, Any]
    contender: str
    place: str
    backend: str
    version: str = ""
    arithmetic: str = ""
    by_wall: bool = False  # figures are of `wall_s`, which holds the host's part, and not of `samples_s`
    ours: bool = False
    status: Status = "not measured"
    reason: str = ""
    samples_s: list[float] = field(default_factory=list)  # device seconds of one call, one for each sample
    wall_s: list[float] = field(default_factory=list)
    host_s: list[float] = field(default_factory=list)
    calls_per_sample: int = 0
    sets: int = 0
    cold: bool = False  # no call found its arguments in the last cache
    error: float | None = None  # the largest of all checks; None where none was made or it was not finite
    error_ratio: float | None = None
    peak_bytes: int | None = None
    conditions: dict[str, Any] = field(default_factory=dict)  # a GPU's clocks before and after; others on the CPU

    @property
    def compared_s(self) -> list[float]:
        """The seconds of a call that figures are made of."""
        return self.wall_s if self.by_wall else self.samples_s

    def record(self) -> Record:
        """The row as a line."""
        return {"kind": "row", **finite(dataclasses.asdict(self))}


ROW_FIELDS = {item.name for item in dataclasses.fields(Row)}


def row_of(case: Case, **about: Any) -> Row:
    """A row of this case."""
    facts = case.family, case.name, case.group, case.dtype, case.flop, case.bytes, dict(case.params)
    return Row(*facts, **{"by_wall": case.by_wall, **about})


def left_out(case: Case, place: str, backend: str, reason: str) -> Row:
    """Our row of a case that does not run."""
    return row_of(case, contender="pylayers", ours=True, place=place, backend=backend, reason=reason)


def finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


@dataclass
class Results:
    """A file of records."""

    records: list[Record]

    def of(self, kind: str) -> list[Record]:
        """The records of a kind, in the order of the file."""
        return [record for record in self.records if record["kind"] == kind]

    def rows(self) -> Iterator[Row]:
        """Every row; fields that this version does not know are left out."""
        for record in self.of("row"):
            yield Row(**{key: value for key, value in record.items() if key in ROW_FIELDS})


def append(path: Path, records: Iterable[Record]) -> None:
    """Adds lines to a file, which begins to exist; a last line that an interrupted run left unfinished goes."""
    with path.open("ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        for record in records:
            file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")
        file.flush()


def read(path: Path) -> Results:
    """The records of a file without a last line that was cut off; ValueError for any other line that is no record."""
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}:{number}: {error}") from error
        if not isinstance(record, dict) or "kind" not in record:
            raise ValueError(f"{path}:{number}: expected an object with 'kind'")
        records.append(record)
    return Results(records)
