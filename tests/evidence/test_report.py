"""What is said of results: the state of kernels, figures against the best peer, and nothing of a rehearsal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from result_records import kernel, row, saw

from benchmarks.harness import run
from benchmarks.harness.results import append
from evidence import machine_code, optable, report, summary
from pylayers.backends.contract import OPS

SOURCES = {"suite softmax": "t", "bench rows": "t"}


def run_file(path: Path, on: machine_code.Kernel, device: str = "cuda") -> Path:
    """A file as gpu_run writes it: one test, one benchmark of two cases."""
    header = {"kind": "header", "schema": 1, "started": "2026-11-30T10:00:00+00:00", "device": device, "capability": 90,
              "machine": {"gpu": "NVIDIA Test"} if device == "cuda" else {"cpu": "x"}, "kernels": {}}  # fmt: skip
    ceiling = {"kind": "roofline", "place": "cuda:0", "copy_bytes_per_s": 4e12, "read_bytes_per_s": 4e12,
               "flop_per_s": {}, "how": ""}  # fmt: skip
    rows = [row("a", "pylayers", 1e-3), row("a", "torch", 2e-3), row("a", "CuPy", 3e-3)]
    rows += [row("b", "pylayers", 1e-3), row("b", "torch", 0.5e-3), row("c", "pylayers", 1e-3, status="error")]
    bench = saw(on, name="bench rows", phase="bench", device=device)
    path.parent.mkdir(parents=True, exist_ok=True)
    append(path, [header, saw(on, device=device), header, ceiling, *rows, {"kind": "end"}, bench])
    return path


def test_report_of_nothing() -> None:
    assert summary.section([], {}) == summary.NOTHING
    assert "never run on a GPU" in report.listing([], {"sm_90a k": kernel()})
    assert optable.row("softmax_forward", [], {})[-2:] == ("never", "not measured")
    assert optable.row("average_pool_forward", [], {})[-2:] == ("", "")


def test_report_of_a_run(tmp_path: Path) -> None:
    now = kernel()
    copy = report.merged(run_file(tmp_path / "run.jsonl", now), tmp_path / "results")
    assert copy.parent.name == "NVIDIA-Test"
    assert report.merged(tmp_path / "run.jsonl", tmp_path / "results") == copy
    (gpu,) = summary.gpus(tmp_path / "results", SOURCES)
    assert (gpu.name, gpu.capability, len(gpu.tests), len(gpu.parts)) == ("NVIDIA Test", 90, 2, 1)
    others = {k.name: k for k in (now, kernel("new"))}
    text = summary.section([gpu], others)
    assert "1 verified at this source, 1 never run on a GPU" in text
    # a: 2 against the quickest peer, not 3 against CuPy; b: 0.5; their geometric mean is 1
    assert "| rows | softmax | 1.00 in 2 cases (1 faster, 1 slower) |" in text
    assert optable.row("softmax_forward", [gpu], others)[-2:] == (
        "NVIDIA Test: 1 verified at this source, 1 never run on a GPU",
        "NVIDIA Test: 1.00 in 2 cases (1 faster, 1 slower)",
    )
    assert optable.row("softmax_backward", [gpu], others)[-1] == "not measured"
    assert optable.row("adam", [gpu], others)[-2:] == ("never", "not measured")
    page = summary.page(gpu, others)
    assert "| rows | a | 1000 | 990 ... 1010 | 1e+03 GB/s | 25% | torch (weak) | 2.00 (" in page
    easier = replace(gpu, sources={"suite softmax": "t", "bench rows": "judged less strictly"})
    assert "softmax (stale)" in summary.section([easier], others) and "1 verified" in summary.section([easier], others)
    changed = {now.name: kernel(code="changed")}
    assert "1 stale" in summary.section([gpu], changed) and "softmax (stale)" in summary.section([gpu], changed)
    assert "stale: sm_90a k" in report.listing([gpu], changed)


def test_a_rehearsal_is_no_result(tmp_path: Path) -> None:
    path = run_file(tmp_path / "run.jsonl", kernel(), device="emulated")
    with_gpu = path.read_text().replace('{"cpu": "x"}', '{"gpu": "NVIDIA Test"}')
    for text in (path.read_text(), with_gpu):
        path.write_text(text)
        with pytest.raises(ValueError, match="report: argument 'files': expected runs on a GPU, got .*emulated"):
            report.merged(path, tmp_path / "results")


def test_a_case_shows_its_newest_figures(tmp_path: Path) -> None:
    run_file(tmp_path / "g/1.jsonl", kernel())
    lines = run_file(tmp_path / "g/2.jsonl", kernel()).read_text().replace("2026-01-01", "2026-01-02").splitlines()
    newer = [json.loads(line) for line in lines]
    for record in newer:
        if record["kind"] == "row" and record["case"] == "a":
            record["samples_s"] = [seconds / 10 for seconds in record["samples_s"]]
        if record["kind"] == "row" and record["case"] == "b":
            record["status"] = "not measured"
    (tmp_path / "g/2.jsonl").write_text("".join(json.dumps(record) + "\n" for record in newer))
    (gpu,) = summary.gpus(tmp_path, SOURCES)
    median = {
        case: next(line for line in lines if summary.own(line)).times for (_, case), (lines, _) in gpu.cases().items()
    }
    assert {case: round(times.median, 6) for case, times in median.items() if times} == {"a": 1e-4, "b": 1e-3}


def test_every_op_has_its_launcher() -> None:
    for op, own in OPS.items():
        assert optable.launchers(op) or not own.kernels, op
    assert optable.launchers("conv_forward") == ("conv",)
    assert {"gemm", "gemm_simt", "gemm_bf16_sm90"} <= set(optable.launchers("gemm"))


def test_every_case_belongs_to_an_op() -> None:
    for family in run.load(["gemm", "conv", "attention", "optim"]):
        for case in family.cases:
            found = [op for op in OPS if optable.belongs(op, family.name, case.params)]
            assert len(found) == 1, case.name
    found = {case.params["op"]: [op for op in OPS if optable.belongs(op, "rows", case.params)]
             for (family,) in [run.load(["rows"])] for case in family.cases}  # fmt: skip
    assert found["log_softmax"] == ["softmax_forward"] and found["gelu_backward"] == ["activation_backward"]
    assert found["dropout"] == ["dropout"] and found["layer_norm"] == ["layer_norm_forward"]
