"""Figures against hand-made samples, and `pylayers bench`: table, JSON, HTML and refusals."""

from __future__ import annotations

import base64
import html
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench_family as b
import numpy as np
import pytest
from bench_package import module
from typer.testing import CliRunner

from pylayers import cli

pytestmark = pytest.mark.slow

command = module("command")
cells, figures = (module(f"show.{name}") for name in ("cells", "figures"))
measure, results, run, threads = (module(f"harness.{name}") for name in ("measure", "results", "run", "threads"))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command has nothing to start anew for."""
    for name, value in threads.WAITS.items():
        monkeypatch.setenv(name, value)


# Figures


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
    rows = [row("pylayers", 1e-3, conditions={"others": 0.2}), row("torch", 2e-3, conditions={"others": 0.2})]
    line = figures.lines(rows, [])[1]
    assert line.ratio.word == "undecided" and cells.cells(line)[-1] == "others took 20 % of the CPU"
    quiet = [row("pylayers", 1e-3, conditions={"others": 0.05}), row("torch", 2e-3, conditions={"others": 0.05})]
    assert figures.lines(quiet, [])[1].ratio.word == "faster"


def test_two_samples_give_no_interval() -> None:
    assert figures.ratio([1.0, 1.0], [2.0, 2.0]) == figures.Ratio(2.0, 0.0, math.inf)


def row(name: str, seconds: float, **about: Any) -> Any:
    case = about.pop("case", b.CASE)
    known = {"place": "cpu", "backend": "reference", "status": "measured", "cold": True, "error": 1e-6}
    found = results.row_of(case, **({"contender": name, "ours": name == "pylayers"} | known | about))
    found.samples_s = found.wall_s = found.host_s = [seconds * (1 + 0.001 * step) for step in (-2, -1, 0, 1, 2)]
    return found


ROOFLINE = {"kind": "roofline", "place": "cpu", "copy_bytes_per_s": 1e10, "read_bytes_per_s": 2e10,
            "flop_per_s": {"float32": 1e11, "float64": 0.0}, "how": "made up"}  # fmt: skip


def test_shares_of_the_roofline_by_hand() -> None:
    moved, product = b.BYTES / 2e10, b.FLOP / 1e11  # 4.6 us, 4.9 us
    cold, warm = figures.lines([row("pylayers", 2 * product), row("torch", 8 * product, cold=False)], [ROOFLINE])
    assert cold.share == pytest.approx(0.5) and warm.share == pytest.approx(0.125) and warm.weak and not cold.weak
    assert warm.ratio.value == pytest.approx(4) and warm.ratio.word == "faster" and cold.ratio is None
    mover = b.family.Case("rows", "sum", "", "float32", 0, b.BYTES)
    lines = figures.lines([row("pylayers", 2 * moved, case=mover), row("x", 1, case=mover, cold=False)], [ROOFLINE])
    assert lines[0].share == pytest.approx(0.5) and lines[1].share is None
    assert lines[0].rate == "10 GB/s"
    half = b.family.Case("gemm", "bf16", "", "bfloat16", b.FLOP, b.BYTES)
    assert figures.lines([row("pylayers", product, case=half)], [ROOFLINE])[0].share == pytest.approx(1)
    other = b.family.Case("gemm", "int8", "", "int8", b.FLOP, 0)
    assert figures.lines([row("pylayers", product, case=other)], [ROOFLINE])[0].share is None


def test_ratios_are_to_ours_of_the_same_case_and_place_and_of_the_quickest_peer() -> None:
    rows = [row("pylayers", 2e-3), row("torch", 4e-3), row("NumPy", 3e-3), row("pylayers", 1e-5, place="cuda:0")]
    found = figures.lines(rows, [])
    assert [line.ratio and round(line.ratio.value, 3) for line in found] == [None, 2.0, 1.5, None]
    assert [line.row.contender for line in cells.quickest(found)] == ["NumPy"]
    assert cells.summary(found).endswith("faster 1, equal 0, undecided 0, slower 0")
    rejected = row("torch", 1e-9, status="rejected", reason="NaN output")
    line = figures.lines([rows[0], rejected], [])[1]
    assert (
        line.ratio is None
        and cells.cells(line)[3:8] == ("rejected", "", "", "", "")
        and "NaN output" in line.row.reason
    )


def test_ratios_are_to_what_users_call_which_a_family_names_first() -> None:
    rows = [
        row("pylayers", 2e-3),
        row("pylayers", 1e-3, contender="pylayers, backend calls", ours=True),
        row("torch", 4e-3),
    ]
    assert [line.ratio and round(line.ratio.value, 3) for line in figures.lines(rows, [])] == [None, None, 2.0]


@pytest.mark.parametrize("by_wall", [False, True])
def test_what_the_host_does_is_in_the_ratios_of_steps_and_calls(by_wall: bool) -> None:
    case = b.family.Case("calls", "linear", "", "float32", b.FLOP, b.BYTES, by_wall=by_wall)
    rows = [row(name, 1e-6, case=case, place="cuda:0") for name in ("pylayers", "torch")]
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

SETTINGS = measure.Settings(rounds=5, fewest_rounds=5, sample_s=1e-4, quick=True)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small family in place of all, and no time spent on ceilings."""
    contenders = {"ours": b.honest, "torch": b.honest, "cheat <b>": b.nan_output}
    family = b.product_family(**{name: b.contender(body) for name, body in contenders.items()})
    roofline = SimpleNamespace(measure=lambda: FAKE, record=lambda: ROOFLINE)
    monkeypatch.setattr(command, "load", lambda names: [family])
    monkeypatch.setattr(command, "QUICK", SETTINGS)
    monkeypatch.setattr(run, "Roofline", lambda place: roofline)
    monkeypatch.setattr(cli, "benchmark_command", lambda: command)


FAKE = SimpleNamespace(record=lambda: ROOFLINE, least_s=lambda row: 0.0, beyond=lambda row, call_s: 0.0)


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["bench", "--device", "cpu", *arguments])


def test_the_command_writes_table_json_and_html(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    done = bench("--quick", "--seed", "7", "--json", "run.jsonl", "--html", "run.html")
    assert done.exit_code == 0, done.output
    text = done.stdout
    for words in ("seed 7", "CPU reference", "every figure is of this CPU", "GPU: not measured: the CPU was asked for",
                  "ours against the quickest peer of each case: ", "cheat <b>"):  # fmt: skip
        assert words in text
    (gpu,) = (line for line in text.splitlines() if re.search(r"pylayers\s+GPU", line))
    assert gpu.split() == ["pylayers", "GPU", "not", "measured"]
    found = results.read(tmp_path / "run.jsonl")
    assert [record["kind"] for record in found.records][:2] == ["header", "roofline"]
    rows = {found_row.contender: found_row for found_row in found.rows()}
    assert (
        rows["ours"].status == "measured"
        and len(rows["ours"].samples_s) == 5
        and rows["cheat <b>"].status == "rejected"
    )
    page = (tmp_path / "run.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)  # needs no other file
    pictures = [base64.b64decode(code).decode() for code in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]
    assert len(pictures) == 2 and all(picture.lstrip().startswith("<?xml") for picture in pictures)
    assert html.escape("cheat <b>") in page and "cheat <b>" not in page and "rejected: NaN output" in page


def test_an_earlier_file_stays_until_something_was_measured(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("an earlier run")

    def broken(place: Any) -> Any:
        raise RuntimeError("the device is lost")

    with monkeypatch.context() as patch:
        patch.setattr(run, "Roofline", broken)
        done = bench("--quick", "--json", str(path))
    assert done.exit_code == 1 and path.read_text() == "an earlier run"
    done = bench("--quick", "--json", str(path))
    assert done.exit_code == 0, done.output
    assert [record["kind"] for record in results.read(path).records][:3] == ["header", "roofline", "row"]


def test_a_status_from_a_file_is_escaped() -> None:
    pytest.importorskip("matplotlib")
    bad = row("torch", 1e-3, status='"><script>alert(1)</script>')
    assert "<script>" not in module("html").table(figures.lines([row("pylayers", 1e-3), bad], []))


def test_the_same_results_give_the_same_page(tiny: None) -> None:
    pytest.importorskip("matplotlib")
    facts = {"cpu": "a CPU", "cpus": 2, "versions": {}, "commit": None, "place": "cpu", "backend": "reference"}
    header = {"kind": "header", "machine": facts, "settings": {"seed": 0}, "started": "now", "no_gpu": "none"}
    records = [header, ROOFLINE, row("pylayers", 1e-3).record(), row("torch", 1e-5).record()]
    page = module("show.html").page
    assert page(results.Results(records)) == page(results.Results(records))
    other = [*records[:-1], row("torch", 2e-5).record()]
    assert page(results.Results(records)) != page(results.Results(other))


def test_long_words_wrap_so_that_the_last_column_is_on_the_page() -> None:
    """Names and notes are as long as they like; what may not wrap is short."""
    page = module("show.html")
    words = dict.fromkeys(cells.COLUMNS, "w " * 40)
    kinds = {column: re.findall(r'class="(\w+)"', page.cell(column, text, "")) for column, text in words.items()}
    assert {column for column, kind in kinds.items() if kind in (["why"], ["name"])} == {"case", "contender", ""}
    assert re.search(r"td\.why, td\.name \{ white-space: normal;", page.STYLE)


def test_a_peer_is_left_out_by_its_name(tiny: None) -> None:
    text = bench("--quick", "--peers", "torch").stdout
    assert "torch" in text and "cheat" not in text


def test_refusals_are_sentences_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "benchmark_command", lambda: command)
    done = bench("gemv")
    assert done.exit_code == 1 and "bench: argument 'families': expected among attention, calls, conv, " in done.output
    monkeypatch.setattr(command, "load", lambda names: [])
    done = bench("--json", str(tmp_path / "no" / "run.jsonl"))
    assert done.exit_code == 1 and "bench: argument 'json': expected a file in a folder that exists" in done.output
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    done = bench("--html", str(tmp_path / "run.html"))
    assert done.exit_code == 1 and "expected matplotlib, which draws the pictures, got none installed" in done.output
    assert "pip install 'pylayers[bench]'" in done.output and not (tmp_path / "run.html").exists()


def test_pools_that_wait_long_are_set_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(threads.os, "execve", lambda *given: started.append(given))
    monkeypatch.setattr(threads.sys, "orig_argv", ["python", "-m", "pylayers", "bench"])
    threads.short_waits()
    assert not started
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "20")  # a choice of the user's stays
    threads.short_waits()
    ((program, words, environment),) = started
    assert program == words[0] == threads.sys.executable and words[1:] == ["-m", "pylayers", "bench"]
    assert (environment["GOMP_SPINCOUNT"], environment["OPENBLAS_THREAD_TIMEOUT"]) == ("2000", "20")


def test_the_gpu_is_refused_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "benchmark_command", lambda: command)
    monkeypatch.setattr(command, "load", lambda names: [])
    monkeypatch.setattr("pylayers.train.device.gpu_missing", lambda: "no GPU in here")
    done = CliRunner().invoke(cli.app, ["bench", "--device", "cuda"])
    assert done.exit_code == 1 and done.output.strip() == "error: cuda: no GPU in here"
