"""`pylayers bench`: table, JSON, HTML and refusals."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bench_family as b
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


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small family in place of all, and no time spent on ceilings."""
    contenders = {"ours": b.honest, "torch": b.honest, "cheat <b>": b.nan_output}
    family = b.product_family(**{name: b.contender(body) for name, body in contenders.items()})
    roofline = SimpleNamespace(measure=lambda: FAKE, record=lambda: b.ROOFLINE)
    monkeypatch.setattr(command, "load", lambda names: [family])
    monkeypatch.setattr(command, "QUICK", SETTINGS)
    monkeypatch.setattr(run, "Roofline", lambda place: roofline)
    monkeypatch.setattr(cli, "benchmark_command", lambda: command)


SETTINGS = measure.Settings(rounds=5, fewest_rounds=5, sample_s=1e-4, quick=True)
FAKE = SimpleNamespace(record=lambda: b.ROOFLINE, least_s=lambda row: 0.0, beyond=lambda row, call_s: 0.0)


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
    bad = b.row("torch", 1e-3, status='"><script>alert(1)</script>')
    assert "<script>" not in module("show.html").table(figures.lines([b.row("pylayers", 1e-3), bad], []))


def test_the_same_results_give_the_same_page(tiny: None) -> None:
    pytest.importorskip("matplotlib")
    facts = {"cpu": "a CPU", "cpus": 2, "versions": {}, "commit": None, "place": "cpu", "backend": "reference"}
    header = {"kind": "header", "machine": facts, "settings": {"seed": 0}, "started": "now", "no_gpu": "none"}
    records = [header, b.ROOFLINE, b.row("pylayers", 1e-3).record(), b.row("torch", 1e-5).record()]
    page = module("show.html").page
    assert page(results.Results(records)) == page(results.Results(records))
    other = [*records[:-1], b.row("torch", 2e-5).record()]
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
