"""The table op x backend of the README, from the code: `python -m benchmarks.optable --write README.md`."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from pathlib import Path

from pylayers.backends import reference
from pylayers.backends.native import KERNEL_DTYPES, Native
from pylayers.backends.protocol import Backend

BEGIN, END = "<!-- op table: python -m benchmarks.optable --write README.md -->", "<!-- end of op table -->"
COLUMNS = ("op", "reference", "emulated", "cuda", "seen on a GPU", "speed")


def ops() -> list[str]:
    """Every primitive op, in the order of the contract."""
    return [name for name in vars(Backend) if not name.startswith("_")]


def has(backend: object, op: str) -> str:
    """ "yes" when the backend has this op and does more there than refuse."""
    if not hasattr(backend, op):
        return "no"
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(backend, op)))).body
    assert isinstance(function, ast.FunctionDef)
    work = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return "no" if isinstance(work[0], ast.Raise) else "yes"


def row(op: str) -> tuple[str, ...]:
    """The cells of one op: for kernels their dtypes. Emulated and cuda are one source compiled twice."""
    kernel = has(Native, op)
    unseen = ("never", "not measured") if kernel == "yes" else ("", "")
    if kernel == "yes":
        kernel = ", ".join(dict.fromkeys(name.partition("_")[0] for name in KERNEL_DTYPES.get(op, ("float32",))))
    return f"`{op}`", has(reference, op), kernel, kernel, *unseen


def table() -> str:
    """The table between its two marks."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(row, ops())]
    return "\n".join([BEGIN, *(f"| {' | '.join(cells)} |" for cells in lines), END])


def replaced(text: str) -> str:
    """`text` with its table brought up to date; ValueError when it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"optable: expected a text with {BEGIN!r} and {END!r}")
    return before + table() + after


def main(arguments: list[str]) -> None:
    """Prints the table, or with ``--write FILE`` puts it into the file."""
    if arguments[:1] == ["--write"]:
        path = Path(arguments[1])
        path.write_text(replaced(path.read_text()))
    else:
        print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
