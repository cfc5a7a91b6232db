"""Figures from samples: median and percentiles, rates, shares of the roofline, ratios with a bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..harness.ceilings import Ceilings
from ..harness.results import Record, Row

EQUAL = 0.03  # a smaller difference is called none
RESAMPLES, CONFIDENCE, FEWEST = 2000, 0.95, 3
BLOCK = 3  # rounds
RUNS = 0.01  # between runs on a quiet machine: where arrays lie, which clocks a core takes
MOST_OTHERS = 0.1  # of a CPU, for other programs
WEAK = 0.5  # a peer below this share of the roofline proves little


class Times(NamedTuple):
    """Of one call, in seconds."""

    median: float
    p5: float
    p95: float
    n: int


def times(samples_s: Sequence[float]) -> Times:
    """Median and percentiles."""
    p5, median, p95 = np.percentile(samples_s, (5, 50, 95))
    return Times(float(median), float(p5), float(p95), len(samples_s))


class Ratio(NamedTuple):
    """The peer's median over ours, above 1 where ours is quicker, with its 95 % interval."""

    value: float
    low: float
    high: float
    busy: bool = False  # the machine, with something else: whose threads wait for each other loses most by that

    @property
    def word(self) -> str:
        """ "equal" where all of the interval is within 3 %, "undecided" where it holds 1, or "faster" or "slower"."""
        if self.busy:
            return "undecided"
        if self.low > 1 / (1 + EQUAL) and self.high < 1 + EQUAL:
            return "equal"
        if self.low <= 1 <= self.high or max(self.value, 1 / self.value) < 1 + EQUAL:
            return "undecided"
        return "faster" if self.value > 1 else "slower"


def ratio(ours_s: Sequence[float], peer_s: Sequence[float]) -> Ratio:
    """Samples of one round belong together and are drawn together, so that what slowed down both counts for neither.

    Neighbouring rounds are alike too, as a machine's speed drifts: runs of `BLOCK` rounds are drawn, in a circle. What
    differs from one run to the next, and no run of its own can show, widens the interval by `RUNS` on either side.
    """
    value = float(np.median(peer_s) / np.median(ours_s))
    if min(len(ours_s), len(peer_s)) < FEWEST:
        return Ratio(value, 0.0, math.inf)

    rng, ours, peer = np.random.default_rng(0), np.asarray(ours_s), np.asarray(peer_s)
    chosen = drawn(rng, len(ours))
    others = chosen if len(ours) == len(peer) else drawn(rng, len(peer))
    ratios = np.median(peer[others], axis=1) / np.median(ours[chosen], axis=1)
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Ratio(value, float(min(low, value)) / (1 + RUNS), float(max(high, value)) * (1 + RUNS))


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """(RESAMPLES, count) indices of samples, in runs of neighbours."""
    starts = rng.integers(0, count, (RESAMPLES, -(-count // BLOCK)))
    return ((starts[:, :, None] + np.arange(BLOCK)) % count).reshape(RESAMPLES, -1)[:, :count]


def busy(row: Row) -> bool:
    """Whether other programs took so much of the CPU that its times say little."""
    return row.conditions.get("others", 0.0) > MOST_OTHERS


def flop_unit(rate: float) -> tuple[float, str]:
    """The unit that suits a rate."""
    return (1e12, "TFLOP/s") if rate >= 1e12 else (1e9, "GFLOP/s")


def flops(rate: float) -> str:
    """1.2e13 -> "12 TFLOP/s"."""
    size, unit = flop_unit(rate)
    return f"{rate / size:.3g} {unit}"


@dataclass(frozen=True)
class Line:
    """A row with its figures; None where they mean nothing."""

    row: Row
    times: Times | None = None
    share: float | None = None  # of the roofline
    ratio: Ratio | None = None  # to ours

    @property
    def rate(self) -> str:
        """ "12.3 TFLOP/s", or "456 GB/s" where only bytes count."""
        if self.times is None or not (self.row.flop or self.row.bytes):
            return ""
        if not self.row.flop:
            return f"{self.row.bytes / self.times.median * 1e-9:.3g} GB/s"
        return flops(self.row.flop / self.times.median)

    @property
    def weak(self) -> bool:
        """Whether it is a peer that leaves half of the machine unused."""
        return not self.row.ours and self.share is not None and self.share < WEAK


def lines(rows: Iterable[Row], rooflines: Iterable[Record]) -> list[Line]:
    """Every row with its figures; ratios are to our row of the same case and place."""
    ceilings = {record["place"]: Ceilings.of(record) for record in rooflines}
    rows = list(rows)
    ours: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.ours and row.status == "measured":
            ours.setdefault((row.family, row.case, row.place), row)  # the first that a family names is what users call
    found = []
    for row in rows:
        if row.status != "measured":
            found.append(Line(row))
            continue
        home, own = ceilings.get(row.place), ours.get((row.family, row.case, row.place))
        known = times(row.compared_s)
        least = home.least_s(row) if home else 0.0
        compared = None
        if own is not None and not row.ours:
            compared = ratio(own.compared_s, row.compared_s)._replace(busy=busy(row))
        found.append(Line(row, known, least / known.median if least else None, compared))
    return found
