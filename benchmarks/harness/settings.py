"""How long and how often a run measures, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How long and how often."""

    seed: int = 0
    quick: bool = False  # only the cases marked so
    rounds: int = 30
    fewest_rounds: int = 5
    sample_s: float = 2e-3  # a shorter call is repeated until a sample takes about this
    case_s: float = 10.0  # of sampling; fewer rounds where they would take longer
    call_limit_s: float = 2.0  # a longer call is not measured
    peers: tuple[str, ...] = ()  # words that the names of peers hold; all of them if empty
    deadline: float | None = None  # of time.monotonic(); no case begins after it
    finished: frozenset[str] = frozenset()  # names of cases that another run measured
    suspects: frozenset[str] = frozenset()  # and of those that ended one: they come last
    by_value: bool = False  # the most valuable cases first
    hang_s: float = 300.0  # a case on a GPU that takes longer ends the run


QUICK = Settings(quick=True, rounds=7, sample_s=2e-3, case_s=1.0, call_limit_s=0.5)
