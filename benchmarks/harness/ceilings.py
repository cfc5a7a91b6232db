"""The measured roofline of a place, and the time that it leaves for a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .results import Record, Row


@dataclass(frozen=True)
class Ceilings:
    """The measured roofline of a place, as its record says."""

    copy_bytes_per_s: float
    read_bytes_per_s: float
    flop_per_s: dict[str, float]

    @classmethod
    def of(cls, record: Record) -> Ceilings:
        """From a record of the kind "roofline"."""
        return cls(record["copy_bytes_per_s"], record["read_bytes_per_s"], dict(record["flop_per_s"]))

    @property
    def bytes_per_s(self) -> float:
        """The larger of both."""
        return max(self.copy_bytes_per_s, self.read_bytes_per_s)

    def name(self, row: Row) -> str:
        """Which rate the row's arithmetic has: its dtype's, or what `params["rate"]` says; on a CPU 16 bits are 32."""
        name = str(row.params.get("rate", row.dtype))
        return "float32" if row.place == "cpu" and name in ("bfloat16", "float16", "tf32") else name

    def rate(self, row: Row) -> float:
        """Operations in a second; inf where none was measured."""
        return self.flop_per_s.get(self.name(row), 0.0) or math.inf

    def least_s(self, row: Row) -> float:
        """The time that the roofline leaves for the row."""
        memory = row.bytes / self.bytes_per_s if row.cold and self.bytes_per_s else 0.0
        return max(row.flop / self.rate(row), memory)
