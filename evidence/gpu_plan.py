"""The steps of `gpu_run`, in order of value, with the time each may take."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness.run import family_names

from .machine_code import FAULTS, ROOT, short_hash
from .sources import hash_of
from .steps import SECONDS, Step

PTX = ("ptx", "ptx_matrix", "ptx_copy", "tensor_map", "ptx_im2col")
SUITE = ("gemm", "attention", "conv", "softmax", "norm", "cross_entropy", "adam", "column_sum", "activation", "pool",
         "dropout", "linear_ops", "linear_calls", "gemm_plan", "variants", "gemm_epilogue",
         "sixteen_bits", "optim_steps")  # fmt: skip
# Whose tests repeat what a few of their cases show; under a tool that slows kernels down, only the few are run.
REPEATED = ("random", "thousand", "every_size", "hardest", "bound_on_reals", "non_negative", "identity", "one_hot")
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
SANITIZED = ("gemm", "attention", "conv", "norm", "softmax", "cross_entropy", "adam", "column_sum", "pool",
             "activation", "dropout", "gemm_epilogue", "sixteen_bits")  # fmt: skip
FIRST = ("gemm", "attention", "conv")  # of the families, by value; the others after them
FAMILIES = sorted(family_names(), key=lambda name: (*FIRST, name).index(name))
# The launchers, by the beginning of their names, whose kernels a family's figures rest on; all of them for the others.
LAUNCHERS = {
    "gemm": ("gemm", "column_sum"), "attention": ("attention",), "conv": ("conv", "gemm", "column_sum"),
    "rows": ("softmax", "norm", "cross_entropy", "column_sum", "activation", "dropout"),
    "optim": ("adam", "sgd", "gradient_norm"),
}  # fmt: skip
SOURCES = {".py", ".cu", ".cuh", ".cpp", ".hpp", ".txt"}  # suffixes of what is compiled and run
TINY = 4  # tests of a file, in a rehearsal


FIGURES = 0.35  # of the whole time is kept for benchmarks, however long tests take
BUILD_CORE_S, BUILD_SHARE = 1200.0, 0.6  # what nvcc takes of one core; of the whole time at most
TEST_S = 60.0  # a test on a GPU that takes longer hangs


@dataclass(frozen=True)
class Phase:
    """Steps of one kind: so many at once, for no more than this share of the whole time."""

    name: str
    at_once: int
    share: float
    steps: list[Step]
    leaves: float = 0.0  # this share of the whole time is kept for later phases


def python(*words: object) -> tuple[str, ...]:
    """A command of this interpreter."""
    return (sys.executable, *map(str, words))


def test_files(names: Iterable[str]) -> list[tuple[str, Path]]:
    """Name and path of test files, in whichever room of tests/ they stand; the reference's own have the same names."""
    found = []
    for name in names:
        paths = [p for p in (ROOT / "tests").rglob(f"test_{name}.py") if p.parent.name != "reference"]
        if len(paths) != 1:
            raise ValueError(f"gpu_plan: expected one test_{name}.py below tests/, got {len(paths)}")
        found.append((name, paths[0]))
    return found


def deciding(files: Iterable[Path], *selection: object) -> str:
    """The hash of all that a step's verdict rests on beside kernels: its files, who judges it, what it selects."""
    judges = [ROOT / f"evidence/{name}.py" for name in ("steps", "witness")]
    return short_hash(hash_of([*files, *judges], ROOT).encode(), " ".join(map(str, selection)).encode())


def below(*folders: str) -> list[Path]:
    """Every source in these folders; FileNotFoundError for one that is empty: nothing would speak for it."""
    found = {folder: [p for p in (ROOT / folder).rglob("*") if p.suffix in SOURCES] for folder in folders}
    if empty := [folder for folder, files in found.items() if not files]:
        raise FileNotFoundError(f"gpu_plan: expected files in {', '.join(empty)}")
    return [path for files in found.values() for path in files]


def build(device: str, seconds: float) -> Phase:
    """The module for the GPU that is present, the emulator that tests compare with, and the instructions' kernels."""
    cores = str(os.cpu_count() or 1)
    pip = python("-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps",
                 "--no-build-isolation", "-e", ".")  # fmt: skip
    no_compiler = "" if shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists() else "there is no nvcc"
    stage = python("-m", "evidence.gpu_stages")
    estimate = BUILD_CORE_S / (os.cpu_count() or 1)
    too_slow = f"would take about {estimate:.0f} s here" if estimate > BUILD_SHARE * seconds else ""
    no_gpu = "needs a GPU" if device == "emulated" else no_compiler
    steps = [
        Step("editable build", "build", pip, seconds, {"MAX_JOBS": cores},
             impossible=no_compiler or (too_slow if device == "emulated" else "")),
        Step("emulator", "build", (*stage, "emulator"), seconds),
        Step("instructions", "build", (*stage, "instructions"), seconds, impossible=no_gpu),
    ]  # fmt: skip
    return Phase("build", 3, BUILD_SHARE, steps)


def pytest(
    name: str, path: Path, phase: str, device: str, limit_s: float, others: Iterable[Path] = (), workers: int = 0
) -> Step:
    """The tests of a file on this device; a few of them on the emulator, where they only rehearse."""
    words = [path.relative_to(ROOT), "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-k", device]
    sources = deciding([path, *others], "-k", device)
    if device == "emulated":
        words += [f"--first={TINY}", "-m", "not slow"]
    elif workers and importlib.util.find_spec("xdist"):
        words += ["-n", workers]
    return Step(f"{phase} {name}", phase, python("-m", "pytest", *words), limit_s, sources=sources, witness=True,
                test_limit_s=TEST_S if device == "cuda" else 0.0)  # fmt: skip


def ptx(device: str) -> Phase:
    """Instructions on the chip against the emulator."""
    compared = below("kernels/core", "tests/ptx", "emulator")
    steps = [pytest(name, path, "ptx", device, 150, compared) for name, path in test_files(PTX)]
    return Phase("ptx", 4, 0.25, steps, FIGURES)


def suite(device: str) -> Phase:
    """The kernels' own tests."""
    workers = {"gemm": 6}
    steps = [pytest(n, p, "suite", device, 200, workers=workers.get(n, 0)) for n, p in test_files(SUITE)]
    return Phase("suite", 5 if device == "cuda" else 1, 0.35, steps, FIGURES)


def sanitizers(device: str) -> Phase:
    """Memory, races, barriers and unwritten memory, as compute-sanitizer sees them."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    missing = "needs a GPU" if device == "emulated" else "" if Path(program).exists() else "no compute-sanitizer"
    chosen = "cuda and not " + " and not ".join(REPEATED)
    steps = []
    for tool in SANITIZERS:
        for name, path in test_files(SANITIZED):
            tests = pytest(name, path, tool, "cuda", 100)
            words = [chosen if word == "cuda" else word for word in tests.command]
            options = ("--tool", tool, "--error-exitcode", str(FAULTS), "--print-limit", "20", "--kernel-name",
                       "kernel_substring=pylayers", "--target-processes", "application-only")  # fmt: skip
            command = (program, *options, *words, "--without-pool", "-m", "not slow")
            sources = deciding([path], options, chosen)
            steps.append(replace(tests, phase="sanitizers", command=command, sources=sources, impossible=missing))
    return Phase("sanitizers", 4, 0.25, steps, FIGURES)


def bench(device: str, seconds: float) -> Phase:
    """First the quick cases of all families in one process, then each family."""
    steps = [bench_step("all", device, 90.0, quick=True)]
    if device == "cuda":
        steps += [bench_step(family, device, max(60.0, seconds / 4)) for family in FAMILIES]
    return Phase("bench", 1, 1.0, steps)


def bench_step(family: str, device: str, limit_s: float, quick: bool = False) -> Step:
    """One process: the roofline, then the cases."""
    own = ROOT.glob(f"benchmarks/families/{'*' if family == 'all' else family}/*.py")
    sources = deciding([ROOT / "evidence/gpu_stages.py", *own], "--quick" if quick else "")
    words = ["evidence.gpu_stages", "bench", family, "--device", device, "--seconds", SECONDS]
    command = python("-m", *words, *(["--quick"] if quick else []))
    name = f"bench {family}" + (" quick" if quick else "")
    return Step(name, "bench", command, limit_s, sources=sources, writes="row")


def phases(device: str, seconds: float) -> list[Phase]:
    """Everything, the most valuable first."""
    return [build(device, seconds), ptx(device), suite(device), sanitizers(device), bench(device, seconds)]


def sources() -> dict[str, str]:
    """The hash of what each step's verdict on a GPU rests on, by the step's name."""
    return {step.name: step.sources for phase in phases("cuda", 0.0) for step in phase.steps}
