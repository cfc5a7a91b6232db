"""Figures of benchmarks against hand-made samples: percentiles, ratios and their intervals, shares of the roofline."""

from __future__ import annotations

import math
from typing import Any

import bench_family as b
import numpy as np
import pytest
from bench_package import module

pytestmark = pytest.mark.slow

cells, figures = (module(f"show.{name}") for name in ("cells", "figures"))
measure, results, run = (module(f"harness.{name}") for name in ("measure", "results", "run"))


def test_times_are_percentiles() -> None:
    assert figures.times([4.0, 1.0, 2.0, 3.0, 5.0]) == pytest.approx((3.0, 1.2, 4.8, 5))


@pytest.mark.parametrize(
    ("factor", "noise", "word"),
    [(2.0, 0.01, "faster"), (0.5, 0.01, "slower"), (1.01, 0.001, "equal"), (0.99, 0.001, "equal"),
     (1.0, 0.3, "undecided"), (1.02, 0.001, "undecided"), (1.06, 0.001, "faster"), (0.94, 0.001, "slower")],
)  # fmt: skip
def test_a_ratio_is_said_in_one_word(factor: float, noise: float, word: str) -> None:
    rng = np.random.default_rng(3)
    ours = 1e-3 * (1 + noise * rng.random(21))
    peer = factor * 1e-3 * (1 + noise * rng.random(21))
    ours, peer = ours * 1e-3 / np.median(ours), peer * factor * 1e-3 / np.median(peer)
    found = figures.ratio(list(ours), list(peer))
    assert found.value == pytest.approx(factor) and found.low <= found.value <= found.high
    assert found.word == word


def test_an_interval_that_holds_one_is_undecided() -> None:
    assert figures.Ratio(1.4, 0.9, 1.9).word == "undecided" and figures.Ratio(1.02, 0.9, 1.9).word == "undecided"
    assert figures.Ratio(1.0, 0.98, 1.02).word == "equal" and figures.Ratio(1.02, 1.005, 1.06).word == "undecided"
    assert figures.Ratio(0.7, 0.6, 0.8).word == "slower" and figures.Ratio(1.4, 1.1, 1.9).word == "faster"


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(100):
        ours, peer = rng.lognormal(0, 0.1, 21), 1.3 * rng.lognormal(0, 0.1, 21)
        found = figures.ratio(list(ours), list(peer))
        hits += found.low <= 1.3 <= found.high
    assert 85 <= hits <= 100


def test_the_interval_covers_another_run() -> None:
    """Of a machine whose speed drifts, and that is a little different each time."""
    rng, hits = np.random.default_rng(1), 0

    def run_of() -> tuple[Any, Any]:
        drift = np.convolve(rng.normal(0, 0.03, 34), np.ones(5) / 5, "valid")
        ours = np.exp(rng.normal(0, 0.01, 30) + rng.normal(0, 0.004))
        peer = 1.3 * np.exp(drift + rng.normal(0, 0.01, 30) + rng.normal(0, 0.004))
        return ours, peer

    for _ in range(100):
        found = figures.ratio(*map(list, run_of()))
        ours, peer = run_of()
        hits += found.low <= np.median(peer) / np.median(ours) <= found.high
    assert hits >= 85


def test_what_slows_both_down_in_a_round_widens_no_interval() -> None:
    drift = np.linspace(1, 4, 21)
    rng = np.random.default_rng(0)
    ours, peer = drift * (1 + 0.01 * rng.random(21)), 1.3 * drift * (1 + 0.01 * rng.random(21))
    paired, alone = figures.ratio(list(ours), list(peer)), figures.ratio(list(ours), list(peer[:-1]))
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_on_a_busy_machine_nothing_is_decided() -> None:
    rows = [b.row("pylayers", 1e-3, conditions={"others": 0.2}), b.row("torch", 2e-3, conditions={"others": 0.2})]
    line = figures.lines(rows, [])[1]
    assert line.ratio.word == "undecided" and cells.cells(line)[-1] == "others took 20 % of the CPU"
    quiet = [b.row("pylayers", 1e-3, conditions={"others": 0.05}), b.row("torch", 2e-3, conditions={"others": 0.05})]
    assert figures.lines(quiet, [])[1].ratio.word == "faster"


def test_two_samples_give_no_interval() -> None:
    assert figures.ratio([1.0, 1.0], [2.0, 2.0]) == figures.Ratio(2.0, 0.0, math.inf)


def test_shares_of_the_roofline_by_hand() -> None:
    moved, product = b.BYTES / 2e10, b.FLOP / 1e11  # 4.6 us, 4.9 us
    cold, warm = figures.lines([b.row("pylayers", 2 * product), b.row("torch", 8 * product, cold=False)], [b.ROOFLINE])
    assert cold.share == pytest.approx(0.5) and warm.share == pytest.approx(0.125) and warm.weak and not cold.weak
    assert warm.ratio.value == pytest.approx(4) and warm.ratio.word == "faster" and cold.ratio is None
    mover = b.family.Case("rows", "sum", "", "float32", 0, b.BYTES)
    lines = figures.lines(
        [b.row("pylayers", 2 * moved, case=mover), b.row("x", 1, case=mover, cold=False)], [b.ROOFLINE]
    )
    assert lines[0].share == pytest.approx(0.5) and lines[1].share is None
    assert lines[0].rate == "10 GB/s"
    half = b.family.Case("gemm", "bf16", "", "bfloat16", b.FLOP, b.BYTES)
    assert figures.lines([b.row("pylayers", product, case=half)], [b.ROOFLINE])[0].share == pytest.approx(1)
    other = b.family.Case("gemm", "int8", "", "int8", b.FLOP, 0)
    assert figures.lines([b.row("pylayers", product, case=other)], [b.ROOFLINE])[0].share is None


def test_ratios_are_to_ours_of_the_same_case_and_place_and_of_the_quickest_peer() -> None:
    rows = [
        b.row("pylayers", 2e-3),
        b.row("torch", 4e-3),
        b.row("NumPy", 3e-3),
        b.row("pylayers", 1e-5, place="cuda:0"),
    ]
    found = figures.lines(rows, [])
    assert [line.ratio and round(line.ratio.value, 3) for line in found] == [None, 2.0, 1.5, None]
    assert [line.row.contender for line in cells.quickest(found)] == ["NumPy"]
    assert cells.summary(found).endswith("faster 1, equal 0, undecided 0, slower 0")
    rejected = b.row("torch", 1e-9, status="rejected", reason="NaN output")
    line = figures.lines([rows[0], rejected], [])[1]
    assert (
        line.ratio is None
        and cells.cells(line)[3:8] == ("rejected", "", "", "", "")
        and "NaN output" in line.row.reason
    )


def test_ratios_are_to_what_users_call_which_a_family_names_first() -> None:
    rows = [
        b.row("pylayers", 2e-3),
        b.row("pylayers", 1e-3, contender="pylayers, backend calls", ours=True),
        b.row("torch", 4e-3),
    ]
    assert [line.ratio and round(line.ratio.value, 3) for line in figures.lines(rows, [])] == [None, None, 2.0]


@pytest.mark.parametrize("by_wall", [False, True])
def test_what_the_host_does_is_in_the_ratios_of_steps_and_calls(by_wall: bool) -> None:
    case = b.family.Case("calls", "linear", "", "float32", b.FLOP, b.BYTES, by_wall=by_wall)
    rows = [b.row(name, 1e-6, case=case, place="cuda:0") for name in ("pylayers", "torch")]
    rows[0].wall_s = rows[0].host_s = [8e-6] * 5  # launches that were made beforehand hide the host
    rows[1].wall_s = rows[1].host_s = [4e-6] * 5
    line = figures.lines(rows, [])[1]
    assert line.ratio.value == pytest.approx(0.5 if by_wall else 1.0)
    assert line.times.median == pytest.approx(4e-6 if by_wall else 1e-6)


def test_families_that_the_host_decides_say_so() -> None:
    families = {family.name: family.cases for family in run.load(["all"])}
    assert {name for name, cases in families.items() if any(case.by_wall for case in cases)} == {"calls", "step"}
    assert all(case.by_wall for name in ("calls", "step") for case in families[name])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.5 s"), (0.0123, "12.3 ms"), (1.2345e-5, "12.3 µs"), (3e-9, "3 ns"), (999.9e-6, "1000 µs")],
)
def test_seconds_in_words(value: float, text: str) -> None:
    assert cells.seconds(value) == text


# The command
