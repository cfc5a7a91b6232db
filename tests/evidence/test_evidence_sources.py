"""A step's hash follows whatever decides its verdict, and a run calls the step's earlier results stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from result_records import ROOT

from evidence import gpu_plan, gpu_run, sources

pytestmark = pytest.mark.slow

ROOMS = ("benchmarks", "evidence", "kernels/core", "pylayers", "tests", "emulator")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout whose plan is asked for."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "goldens", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(gpu_plan, "ROOT", tmp_path)
    return tmp_path


def edited(path: Path) -> None:
    """One line more."""
    path.write_text(path.read_text() + "\nLOOSENED = 1\n")


def below(tree: Path, name: str) -> Path:
    """The one file of this name, wherever it stands."""
    (path,) = (p for p in (*tree.rglob(f"tests/**/{name}"), *tree.rglob(f"benchmarks/**/{name}"))
               if p.parent.name != "reference" and "emulator" not in p.parts)  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("file", "stale", "fresh"),
    [
        ("bounds.py", {"suite norm", "memcheck norm"}, {"bench rows"}),
        ("subject.py", {"suite norm", "suite gemm", "ptx ptx"}, {"bench rows"}),
        ("conftest.py", {"suite norm", "racecheck adam", "ptx ptx"}, {"bench gemm"}),
        ("layouts.py", {"suite norm"}, {"suite adam"}),
        ("instructions.py", {"ptx ptx", "ptx ptx_copy"}, {"suite norm"}),
        ("test_norm.py", {"suite norm", "initcheck norm"}, {"suite softmax", "bench rows"}),
        ("peers.py", {"bench gemm", "bench step", "bench all quick"}, {"suite norm"}),
        ("cuda_place.py", {"bench gemm"}, {"suite norm"}),
        ("networks.py", {"bench step", "bench all quick"}, {"bench gemm", "bench conv"}),
        ("training.py", {"bench step"}, {"bench optim"}),
        ("measure.py", {"bench gemm", "bench calls"}, {"suite gemm"}),
    ],
)
def test_what_decides_a_verdict_changes_the_hash(file: str, stale: set[str], fresh: set[str], tree: Path) -> None:
    before = gpu_plan.sources()
    edited(below(tree, file))
    after = gpu_plan.sources()
    changed = {name for name in before if before[name] != after[name]}
    assert stale <= changed and not fresh & changed
    for name in sorted(stale | fresh):
        step: Any = next(s for phase in gpu_plan.phases("cuda", 60) for s in phase.steps if s.name == name)
        record = {"kind": "test", "name": name, "device": "cuda", "status": "passed", "ended": "then", "kernels": {},
                  "sources": before[name], "phase": step.phase, "cases": ["a case"]}  # fmt: skip
        assert gpu_run.verified(step, [record], {}, "cuda") == ("" if name in stale else "then"), name
        assert gpu_run.known_cases(step, [record], {}, "cuda") == ([] if name in stale else ["a case"]), name


@pytest.mark.parametrize(
    ("file", "stale", "fresh"),
    [
        ("benchmarks/harness/truth.py", {"bench gemm", "bench rows"}, {"suite norm"}),
        ("benchmarks/families/rows/truth.py", {"bench rows", "bench all quick"}, {"bench gemm"}),
        ("pylayers/backends/reference/norm.py", {"suite norm", "memcheck norm"}, set()),
        ("pylayers/nn/linear.py", {"bench step", "bench calls"}, {"suite norm", "suite gemm"}),
        ("evidence/steps.py", {"suite norm", "bench gemm", "ptx ptx", "memcheck norm"}, set()),
        ("emulator/number.hpp", {"ptx ptx"}, {"suite norm", "bench gemm"}),
        ("kernels/core/ptx.cuh", {"ptx ptx"}, {"suite norm"}),
        ("benchmarks/show/cells.py", set(), {"bench gemm", "suite norm"}),
    ],
)
def test_so_does_what_stands_behind_it(file: str, stale: set[str], fresh: set[str], tree: Path) -> None:
    before = gpu_plan.sources()
    edited(tree / file)
    after = gpu_plan.sources()
    changed = {name for name in before if before[name] != after[name]}
    assert stale <= changed and not fresh & changed


def test_modules_are_found_where_the_tests_find_them(tree: Path) -> None:
    """Files may move into other rooms: pyproject says where modules are looked for."""
    room = tree / "tests/another"
    room.mkdir()
    here = below(tree, "bounds.py")
    here.rename(room / "bounds.py")
    project = tree / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace('pythonpath = ["tests/support"', 'pythonpath = ["tests/another", "tests/support"'))
    assert room / "bounds.py" in sources.closure([below(tree, "test_norm.py")], tree)


def test_which_tests_are_selected_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gpu_plan.sources()
    monkeypatch.setattr(gpu_plan, "REPEATED", (*gpu_plan.REPEATED, "hard"))
    after = gpu_plan.sources()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if name.split()[0] in gpu_plan.SANITIZERS}


def test_imports_are_followed_as_python_follows_them(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('pythonpath = ["lib"] # why\n')
    files = {
        "lib/a.py": 'import b\ndef f():\n    from pkg import one, name\n    load("pkg.three")\n',
        "lib/b.py": "import typing\nif typing.TYPE_CHECKING:\n    import types_only\n",
        "lib/types_only.py": "", "lib/unused.py": "",
        "pkg/__init__.py": "name = 1\nfrom . import two\n", "pkg/one.py": "from .deep.four import x\n",
        "pkg/two.py": "try:\n    import numpy\nexcept ImportError:\n    import fallback\n", "fallback.py": "",
        "pkg/three.py": "try:\n    f()\nexcept ImportError:\n    import words\n    raise\n", "words.py": "",
        "pkg/deep/__init__.py": "", "pkg/deep/four.py": "from ..five import y\n", "pkg/five.py": "",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = {str(path.relative_to(tmp_path)) for path in sources.closure([tmp_path / "lib/a.py"], tmp_path)}
    assert found == set(files) - {"lib/types_only.py", "lib/unused.py", "words.py", "pkg/deep/__init__.py"}
