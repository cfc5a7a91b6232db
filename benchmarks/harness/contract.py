"""What a benchmark is made of: cases, a place where they run, and contenders that get the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Array = Any
Arrays = dict[str, Array]
# Computes on the arrays it was prepared with. Results are new arrays, or the arrays that it changed in place.
Call = Callable[[], Sequence[Array]]


@dataclass(frozen=True)
class Case:
    """One row of a family's list, fixed before any tuning."""

    family: str  # its folder in benchmarks/families
    name: str  # unique in its family: "bf16 4096x4096x4096 nt"
    group: str  # what it stands for: "square", "Llama layer", "odd"
    dtype: str  # of the operands
    flop: int  # operations of the mathematics; 0 where only bytes count
    bytes: int  # each input read once, each result written once
    params: Mapping[str, Any] = field(default_factory=dict)  # what its family builds it from; JSON
    quick: bool = False  # whether `--quick` runs it
    by_wall: bool = False  # whether what the host does for a call is part of what is compared


class Place(Protocol):
    """Where the arrays lie: host memory or a GPU."""

    @property
    def name(self) -> str:
        """``"cpu"`` or ``"cuda:0"``."""

    @property
    def backend(self) -> str:
        """Ours there: ``"reference"``, ``"emulated"`` or ``"cuda"``."""

    @property
    def xp(self) -> Any:
        """The namespace of its arrays: numpy or cupy."""

    def normal(self, shape: Sequence[int], dtype: str, scale: float = 1.0) -> Array:
        """Fresh zero-mean normal numbers, rounded to the dtype; the seed is the run's."""

    def integers(self, shape: Sequence[int], high: int) -> Array:
        """Fresh int64 numbers in [0, high)."""

    def torch(self, x: Array) -> Any:
        """A torch tensor on the same memory."""

    def array(self, x: Any) -> Array:
        """An array of this place on the memory of a torch tensor; arrays as they are."""


@dataclass(frozen=True)
class Contender:
    """An implementation that a case is given to."""

    name: str  # "pylayers", "torch cuBLAS", "torch SDPA flash"
    version: str
    arithmetic: str  # "bfloat16 in, float32 sums, bfloat16 out"
    prepare: Callable[[Arrays], Call]
    ours: bool = False


@dataclass(frozen=True)
class Absent:
    """A contender that cannot run here, and why."""

    name: str
    reason: str
    ours: bool = False


@dataclass(frozen=True)
class Deviation:
    """How far results are from float64: the largest error, and the largest ratio of an error to its bound."""

    error: float
    ratio: float  # not (ratio <= 1) is wrong


class Family(Protocol):
    """A list of cases and how each is fed and judged: the module ``families/<name>/family.py``."""

    @property
    def name(self) -> str:
        """The word after ``pylayers bench``."""

    @property
    def cases(self) -> Sequence[Case]:
        """Every case, the same on every machine."""

    @property
    def changed(self) -> Sequence[str]:
        """The names of the arrays that a call changes in place; none where results are new arrays."""

    def inputs(self, case: Case, place: Place) -> Arrays:
        """One set of fresh arrays."""

    def contenders(self, case: Case, place: Place) -> list[Contender | Absent]:
        """Ours first, then the peers of this place."""

    def deviation(self, case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
        """Results for `inputs` (as they were before the call) against float64, all of them or a sample of elements."""
