"""A contender in a case: its calls, its row, and what ends its part."""

from __future__ import annotations

from .contract import Call, Contender
from .results import LOST, Row


class NotMeasured(Exception):  # noqa: N818 - no error: a contender that this run leaves out
    """Why a contender is left out."""


class DeviceLost(RuntimeError):
    """A contender left the GPU unusable for this process; `row` is the contender's."""

    def __init__(self, row: Row, error: Exception) -> None:
        reason = row.reason
        row.status, row.reason = "error", f"{LOST}: {reason or error}"[:400]
        self.row = row
        super().__init__(
            f"bench: the device no longer answers after {row.contender} on {row.family} '{row.case}' ({reason}); what "
            f"follows in this process would mean nothing: {error}"
        )


class Entrant:
    """A contender with its calls, one for each set, and its row."""

    def __init__(self, contender: Contender, row: Row) -> None:
        self.contender, self.row = contender, row
        self.calls: list[Call] = []
        self.free_s: list[float] = []  # by events, of the samples that the host did not make wait
        self.fresh: list[int] = []  # which samples were of numbers that nobody had seen
        self.owned: list[bool] = []  # which results lie in the memory of arguments
        self.count = self.turn = 0
        self.host_s = self.call_s = 0.0

    @property
    def runs(self) -> bool:
        """Whether it is still in."""
        return self.row.status == "measured"

    def forget(self) -> None:
        """Drops its times."""
        self.fresh.clear()
        for times in (self.free_s, self.row.samples_s, self.row.wall_s, self.row.host_s):
            times.clear()

    def turns(self, sets: int) -> list[int]:
        """The sets that the next sample takes."""
        found = [(self.turn + number) % sets for number in range(self.count)]
        self.turn = (self.turn + self.count) % sets
        return found
