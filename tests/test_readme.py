"""The README keeps its word: its table is the code's, its programs run, its commands are those of .ci/run."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)


def test_the_op_table_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("optable", ROOT / "benchmarks" / "optable.py")
    assert spec is not None
    assert spec.loader is not None
    optable = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(optable)
    assert len(optable.ops()) > 20
    assert optable.replaced(README) == README, "python -m benchmarks.optable --write README.md"
    assert optable.replaced(README.replace("| `adam` | yes", "| `adam` | no")) == README
    with pytest.raises(ValueError, match="optable: expected a text with"):
        optable.replaced("no table here")


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
