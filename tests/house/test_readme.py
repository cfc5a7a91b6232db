"""The README keeps its word: its tables are the code's and the results', its programs run, its commands are CI's."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pylayers.backends.contract import OPS

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # the checkout's: what it writes is the checkout's README

from evidence import optable, report, summary  # noqa: E402
from evidence.machine_code import Kernel  # noqa: E402

README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)


def kernels_of(found: list[summary.Gpu]) -> dict[str, Kernel]:
    """Those of the installed module, of which tables with results speak; skips where they cannot be compared."""
    try:
        present = report.present_kernels(needed=bool(found))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    entries = [entry for gpu in found for test in gpu.tests for entry in test.get("kernels", {}).values()]
    compilers = {kernel.compiler for kernel in present.values()}
    if entries and compilers != {entry["key"]["nvcc"] for entry in entries}:
        pytest.skip(f"the module was compiled by nvcc {compilers}, the results are of another")
    return present


def test_generated_texts_are_up_to_date() -> None:
    """Tables, pages and pictures are those that the committed results and the code give."""
    found = summary.gpus()
    for path, text in report.written(summary.RESULTS, README, kernels_of(found)).items():
        kept = path.read_text()
        if path.suffix == ".svg" and f"Matplotlib v{version('matplotlib')}" not in kept:
            continue  # another version draws the same in other words
        assert kept == text, f"{path}: python -m evidence.report --write"


def test_a_changed_table_is_noticed() -> None:
    assert len(OPS) > 20
    for changed in (README.replace("| `adam` | yes", "| `adam` | no"), README.replace("No kernel has run", "Some ran")):
        assert changed != README
        assert report.written(Path("nothing"), changed, {})[ROOT / "README.md"] == README
    with pytest.raises(ValueError, match="optable: expected a text with"):
        report.written(Path("nothing"), "no table here", {})
    with pytest.raises(ValueError, match="report: expected a text with"):
        report.written(Path("nothing"), f"{optable.BEGIN}{optable.END}", {})


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=["torch", "keras"])
def test_programs_run(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout != ""


def test_ci_runs_the_two_commands() -> None:
    assert len(COMMANDS) == 2
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert set(COMMANDS) <= set(lines)
