"""Which files decide what a step finds: what its Python imports, file after file, and a hash over all of them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .machine_code import ROOT, source_hash

DOTTED = re.compile(r"\w+(\.\w+)+")


def searched(root: Path) -> list[Path]:
    """Where the tests find modules: the `pythonpath` of pyproject.toml, then the checkout itself."""
    found = re.search(r"^pythonpath = (\[[^]]*\])", (root / "pyproject.toml").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError("evidence: expected a pythonpath in pyproject.toml, got none")
    return [*(root / name for name in ast.literal_eval(found[1])), root]


def file_of(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of a module or package; None for what is installed."""
    for folder in folders:
        path = folder.joinpath(*name.split("."))
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None


def named(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """(how far up, module, name in it or "") of each import of a file, also inside functions or in quotes.

    What is imported for types alone, or to say what went wrong, decides nothing.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ExceptHandler) and isinstance(node.body[-1], ast.Raise):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED.fullmatch(node.value):
            yield 0, node.value, ""
        else:
            yield from named(node)


@functools.lru_cache(4096)
def imported(path: Path, changed: int, root: Path) -> frozenset[Path]:
    """The files of the checkout that one names, as it is since it was changed; a test's also the conftest.py above."""
    if path.suffix != ".py":
        return frozenset()
    found, folders = set[Path | None](), searched(root)
    if path.name.startswith("test_"):
        above = (folder / "conftest.py" for folder in path.parents if folder.is_relative_to(root))
        found.update(file for file in above if file.is_file())
    for level, module, name in set(named(ast.parse(path.read_text(), str(path)))):
        where = [path.parents[level - 1]] if level else folders
        inner = file_of(f"{module}.{name}".strip("."), where) if name else None
        found.add(inner or (file_of(module, where) if module else None))
    return frozenset(file for file in found if file is not None)


def closure(files: Iterable[Path], root: Path = ROOT) -> set[Path]:
    """These files and what they import of the checkout, file after file.

    A package's `__init__` counts where the package itself is imported, not where one of its modules is.
    """
    found, waiting = set[Path](), list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path, path.stat().st_mtime_ns, root)
    return found


def hash_of(files: Iterable[Path], root: Path = ROOT) -> str:
    """Of these files and of what they import."""
    return source_hash(closure(files, root))
