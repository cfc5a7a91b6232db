"""Rules over the text of the house. A rule takes {path: text} and yields one sentence for each violation."""

from __future__ import annotations

from pathlib import Path

from architecture import cpp, python, rooms
from architecture.rule import Rule, Tree

__all__ = ["RULES", "Rule", "Tree", "read_tree"]

RULES: list[Rule] = [*cpp.RULES, *python.RULES, *rooms.RULES]
FOLDERS = ("kernels", "csrc", "pylayers", "benchmarks", "evidence", "packaging", "tests", "emulator")
SUFFIXES = {".py", ".cu", ".cuh", ".cpp", ".hpp"}


def read_tree(root: Path) -> Tree:
    """The sources below `root`."""
    files = [path for folder in FOLDERS for path in sorted(root.glob(f"{folder}/**/*"))]
    return {str(path.relative_to(root)): path.read_text() for path in files if path.suffix in SUFFIXES}
