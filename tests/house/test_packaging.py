"""What is installed and how: the wheel without CUDA, what `import pylayers` costs, what `pylayers info` says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import pylayers
from pylayers import info

ROOT = Path(__file__).parents[2]
SLOW_TO_IMPORT = ("cupy", "keras", "matplotlib", "rich", "scipy.special", "sklearn", "torch", "typer")
BACKENDS = ("backend reference", "backend emulated", "backend cuda")
ROWS = ("version", *BACKENDS, "GPU", "driver", "architectures", "precision", "build")


def python(*arguments: str, cwd: Path = ROOT / "tests", **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python; not in the checkout, whose `pylayers` would hide the installed one."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    """The installed package; without one there is nothing to test here."""
    try:
        return metadata.distribution("pylayers")
    except metadata.PackageNotFoundError:
        pytest.skip("pylayers is not installed, it was imported from a checkout")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout without anything built."""
    ignored = shutil.ignore_patterns(".git", "build", "dist", "__pycache__", ".*_cache", ".venv", ".ci-venv*")
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=ignored))


def build(checkout: Path, kind: str, *options: str, **environment: str) -> tuple[Path, str]:
    """Builds a "wheel" or an "sdist" with the package's own backend, offline: its path and what was said."""
    code = (
        "import sys; sys.path.insert(0, 'packaging'); import pylayers_build as b; "
        f"print('BUILT', b.build_{kind}('dist', dict(o.split('=') for o in sys.argv[1:])))"
    )
    (checkout / "dist").mkdir(exist_ok=True)
    done = python("-c", code, *options, cwd=checkout, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout / "dist" / re.findall(r"BUILT (.*)", done.stdout)[0], done.stdout


def test_versions_agree(distribution: metadata.Distribution) -> None:
    written = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    newest = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert written is not None
    assert newest is not None
    assert pylayers.__version__ == distribution.version == written[1] == newest[1]


def test_import_is_light() -> None:
    code = "import pylayers, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(python("-c", code, PYTHONPATH=str(Path(pylayers.__file__).parents[1])).stdout)
    assert "pylayers" in loaded
    heavy = {name for name in loaded for slow in SLOW_TO_IMPORT if name == slow or name.startswith(f"{slow}.")}
    heavy |= {name for name in loaded if name in ("pylayers.keras", "pylayers._cuda", "pylayers.train")}
    assert heavy == set()


def test_wheel_carries_what_it_needs_and_nothing_else(distribution: metadata.Distribution) -> None:
    files = {str(file) for file in distribution.files or []}
    if not any(file.startswith("pylayers/errors") for file in files):
        pytest.skip("an editable installation carries links only")
    assert {"pylayers/py.typed", "pylayers/_build.json", "pylayers/benchmarks/families/gemm/family.py"} <= files
    foreign = {file for file in files if not file.startswith(("pylayers/", "pylayers-", "../"))}
    assert foreign == set()
    assert [file for file in files if file.endswith((".cu", ".cuh", ".cpp", ".hpp")) or "_emulated" in file] == []


def test_info_prints_every_row() -> None:
    done = python("-m", "pylayers", "info", PYTHONPATH=str(Path(pylayers.__file__).parents[1]))
    assert done.returncode == 0, done.stderr
    names = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert names == list(ROWS)
    assert f"version: {pylayers.__version__}" in done.stdout
    assert "backend reference: built (NumPy" in done.stdout


def test_info_says_what_the_build_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {
        "cuda": False,
        "why": "neither nvcc >= 12.8 nor an NVIDIA driver was found",
        "notes": ["nvcc 11.8 is ignored"],
    }
    monkeypatch.setattr(info, "build_record", lambda: record)
    monkeypatch.setitem(sys.modules, "pylayers._cuda", None)
    report = dict(info.rows())
    assert report["build"] == f"without CUDA: {record['why']}; nvcc 11.8 is ignored"
    assert report["backend cuda"] == (
        f"not there: this installation was built without CUDA ({record['why']}); `pip install . -C cuda=on` builds it"
    )
    assert report["architectures"] == "none"


def test_a_driver_too_old_is_named() -> None:
    class Cuda:
        """A compiled module on a machine whose driver is older than the toolkit."""

        driver_version = staticmethod(lambda: 12040)
        runtime_version = staticmethod(lambda: 13000)

    assert info.gpus(Cuda) == "none: driver too old: it knows CUDA 12.4, the kernels were built with CUDA 13.0"  # type: ignore[arg-type]


def test_a_checkout_says_in_one_line_that_nothing_is_built(checkout: Path) -> None:
    # -S and the path by hand: an editable installation would otherwise answer for the checkout
    paths = os.pathsep.join([str(checkout), *(p for p in sys.path if "site-packages" in p)])
    done = python("-S", "-m", "pylayers", "info", cwd=checkout / "tests", PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert f"build: {info.CHECKOUT}\n" in done.stdout
    code = "import pylayers\nwith pylayers.backend('cuda'): pass"
    done = python("-S", "-c", code, cwd=checkout / "tests", PYTHONPATH=paths)
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert info.CHECKOUT in done.stderr.splitlines()[-1]


def test_without_nvcc_a_pure_wheel_is_built_in_seconds(checkout: Path) -> None:
    if info.driver_version():
        pytest.skip("this machine has an NVIDIA driver, so that CUDA would be built")
    start = time.monotonic()
    wheel, said = build(checkout, "wheel", PYLAYERS_NVCC="none")
    assert time.monotonic() - start < 30
    assert wheel.name.endswith("-py3-none-any.whl")
    assert said.splitlines()[0] == (
        "pylayers: building without CUDA (a pure wheel; the reference backend is complete): "
        "neither nvcc >= 12.8 nor an NVIDIA driver was found"
    )
    with zipfile.ZipFile(wheel) as archive:
        assert json.loads(archive.read("pylayers/_build.json"))["cuda"] is False
        assert [name for name in archive.namelist() if name.endswith((".so", ".cu"))] == []


@pytest.mark.slow
def test_the_sdist_builds(checkout: Path, tmp_path: Path) -> None:
    sdist, _ = build(checkout, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / sdist.name.removesuffix(".tar.gz")
    for needed in ("csrc/gemm.cu", "kernels/core/ptx.cuh", "CMakeLists.txt", "packaging/keep_log.sh", "LICENSE"):
        assert (source / needed).is_file(), needed
    wheel, _ = build(source, "wheel", "cuda=off")
    with zipfile.ZipFile(wheel) as archive:
        assert {"pylayers/errors.py", "pylayers/py.typed", "pylayers/benchmarks/__init__.py"} <= set(archive.namelist())


@pytest.mark.slow
@pytest.mark.network
def test_nvcc_comes_from_the_package_index(checkout: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-C", "cuda=on", "-w", "dist", "."]
    environment = os.environ | {"PYLAYERS_NVCC": "none", "CUDAARCHS": "90a-real"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    with zipfile.ZipFile(next((checkout / "dist").glob("pylayers-*.whl"))) as archive:
        assert [name for name in archive.namelist() if re.fullmatch(r"pylayers/_cuda\..*\.so", name)]
        record = json.loads(archive.read("pylayers/_build.json"))
    assert record["nvcc"].startswith("13.0.")
    assert (record["nvcc_origin"], record["architectures"]) == ("the package index", "90a-real")
