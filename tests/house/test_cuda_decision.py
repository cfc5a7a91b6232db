"""Whether CUDA is built: every answer of packaging/cuda_decision.py for machines that are made up here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def decision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, on a Linux machine without driver, without nvcc in sys.path."""
    spec = importlib.util.spec_from_file_location("cuda_decision", ROOT / "packaging" / "cuda_decision.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cuda_decision", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "find_driver", lambda: None)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "platform", "linux")
    return module


def fake_nvcc(folder: Path, release: str) -> str:
    """A program that answers --version as nvcc does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.61'\n")
    path.chmod(0o755)
    return str(path)


HIDDEN = {"PYLAYERS_NVCC": "none"}


def test_nothing_found(decision: ModuleType) -> None:
    found = decision.decide({}, HIDDEN)
    assert (found.cuda, found.why) == (False, "neither nvcc >= 12.8 nor an NVIDIA driver was found")


def test_off(decision: ModuleType, tmp_path: Path) -> None:
    found = decision.decide({"cuda": "off"}, {"PYLAYERS_NVCC": fake_nvcc(tmp_path, "13.0")})
    assert (found.cuda, found.why) == (False, "asked for with -C cuda=off")


def test_an_unknown_word(decision: ModuleType) -> None:
    with pytest.raises(SystemExit, match="option -C cuda: expected on, off or auto, got 'yes'"):
        decision.decide({"cuda": "yes"}, HIDDEN)


def test_forced_without_nvcc_takes_the_package_index(decision: ModuleType) -> None:
    found = decision.decide({"cuda": "on"}, HIDDEN)
    assert (found.cuda, found.nvcc, found.architectures) == (True, None, "80;90a-real")


def test_a_driver_alone_takes_the_package_index(decision: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "find_driver", lambda: decision.Driver((580, 65, 6), ("9.0",)))
    found = decision.decide({}, HIDDEN)
    assert (found.cuda, found.nvcc, found.why) == (True, None, "an NVIDIA driver was found")
    assert found.architectures == "90a-real"
    assert found.notes == ("architectures 90a-real (the GPU present)",)


def test_nvcc_alone(decision: ModuleType, tmp_path: Path) -> None:
    found = decision.decide({}, {"CUDA_HOME": str(Path(fake_nvcc(tmp_path / "bin", "12.8")).parents[1])})
    assert (found.cuda, found.why, found.nvcc.version) == (True, "nvcc was found", (12, 8, 61))
    assert found.nvcc.origin == "CUDA_HOME"


def test_an_old_nvcc_is_passed_over(decision: ModuleType, tmp_path: Path) -> None:
    found = decision.decide({"cuda": "on"}, {"PYLAYERS_NVCC": fake_nvcc(tmp_path, "12.4")})
    assert found.cuda
    assert found.nvcc is None
    assert "nvcc 12.4.61 (PYLAYERS_NVCC) is ignored: 12.8 or newer is needed" in found.notes


def test_the_package_index_serves_where_the_installed_nvcc_is_old(
    decision: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    fake_nvcc(tmp_path / "nvidia" / "cu13" / "bin", "13.0")
    found = decision.decide({"cuda": "on"}, {"PYLAYERS_NVCC": fake_nvcc(tmp_path / "old", "12.4")})
    assert (found.nvcc.version, found.nvcc.origin) == ((13, 0, 61), "the package index")


def test_a_wrong_path_is_named(decision: ModuleType) -> None:
    found = decision.decide({}, {"PYLAYERS_NVCC": "/nowhere/nvcc"})
    assert not found.cuda
    assert found.notes == ("PYLAYERS_NVCC names /nowhere/nvcc, which is no file",)


@pytest.mark.parametrize(
    "toolkit, driver, message",
    [
        ("13.0", (550, 54, 15), "NVIDIA driver 550.54.15 is too old for CUDA 13.0"),
        ("13.0", (580, 65, 6), ""),
        ("12.8", (550, 54, 15), ""),
        ("12.8", (470, 1), "NVIDIA driver 470.1 is too old for CUDA 12.8"),
    ],
)
def test_a_driver_too_old_is_said_before_the_build(
    decision: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    toolkit: str,
    driver: tuple[int, ...],
    message: str,
) -> None:
    monkeypatch.setattr(decision, "find_driver", lambda: decision.Driver(driver, ()))
    notes = decision.decide({}, {"PYLAYERS_NVCC": fake_nvcc(tmp_path, toolkit)}).notes
    assert any("too old" in note for note in notes) == bool(message)
    assert message in "".join(notes)


@pytest.mark.parametrize(
    "capabilities, expected", [(("9.0",), "90a-real"), (("8.6",), "86-real"), (("8.0", "9.0"), "80-real;90a-real")]
)
def test_architectures_follow_the_gpu(decision: ModuleType, capabilities: tuple[str, ...], expected: str) -> None:
    driver = decision.Driver((580,), capabilities)
    assert decision.choose_architectures({}, {}, driver) == (expected, "the GPU present")


def test_architectures_that_are_asked_for_win(decision: ModuleType) -> None:
    driver = decision.Driver((580,), ("9.0",))
    setting = {"cmake.define.CMAKE_CUDA_ARCHITECTURES": "89"}
    assert decision.choose_architectures({"CUDAARCHS": "75"}, setting, driver)[0] == "89"
    assert decision.choose_architectures({"CUDAARCHS": "75"}, {}, driver)[0] == "75"
    assert decision.choose_architectures({}, {}, None)[0] == "80;90a-real"


def test_jobs_follow_max_jobs_cores_and_memory(decision: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision.os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(decision, "available_bytes", lambda: 5 << 29)
    assert decision.jobs({"MAX_JOBS": "3"}) == 3
    assert decision.jobs({}) == 2
    monkeypatch.setattr(decision, "available_bytes", lambda: 1 << 29)
    assert decision.jobs({}) == 1
    monkeypatch.setattr(decision, "available_bytes", lambda: 64 << 30)
    assert decision.jobs({}) == 8


def test_other_systems_get_a_pure_wheel(decision: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert decision.decide({}, {}).why == "CUDA is built on Linux only"
    with pytest.raises(SystemExit, match="on Linux only"):
        decision.decide({"cuda": "on"}, {})
