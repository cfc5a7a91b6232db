"""The row operations that are timed: what, how many rows and columns, fixed before any tuning."""

from __future__ import annotations

from collections.abc import Iterator

from ...harness.contract import Case
from ...harness.dtypes import SHORT, SIZE

LARGE, MIDDLE, SMALL = 2**26, 2**22, 2**18  # elements: beyond any cache, a few caches of a CPU, quick
COLUMNS = (64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
TINY = ("softmax", "layer_norm_backward", "cross_entropy_and_gradient", "gelu", "dropout")  # in a quick run
VOCABULARIES = [(16384, 1000), (8192, 50257), (2048, 128256)]  # ImageNet's classes; GPT-2's and Llama 3's tokens
ODD = [(65536, 1023), (8191, 4097), (1, 1048577)]
# Matrices of (rows, columns) that are read and written; a loss and moments of rows count as a column.
NORMS = ("softmax", "log_softmax", "softmax_backward", "layer_norm", "layer_norm_backward")
LOSSES = ("cross_entropy", "cross_entropy_and_gradient")
ELEMENTWISE = ("relu", "gelu", "silu", "relu_backward", "gelu_backward", "silu_backward", "dropout")
MATRICES = {
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "relu", "gelu", "silu", "dropout"), 2),
    **dict.fromkeys(("softmax_backward", "layer_norm_backward"), 3),
    **dict.fromkeys(("relu_backward", "gelu_backward", "silu_backward"), 3),
    "cross_entropy": 1,
    "cross_entropy_and_gradient": 2,
}


def row_case(op: str, rows: int, columns: int, dtype: str = "float32", group: str = "", quick: bool = False) -> Case:
    """Each matrix moves once; vectors: weight, bias and their gradients, moments of rows, int64 labels."""
    size = SIZE[dtype]
    moved = MATRICES[op] * rows * columns * size
    if op == "layer_norm":
        moved += 2 * columns * size
    elif op == "layer_norm_backward":
        moved += 3 * columns * size + 2 * rows * 4
    elif op in LOSSES:
        moved += rows * 8 + size
    params = {"op": op, "rows": rows, "columns": columns}
    name = f"{SHORT[dtype]} {op} {rows}x{columns}"
    return Case("rows", name, group or op, dtype, 0, moved, params, quick)


def row_cases() -> Iterator[Case]:
    """Every case, the small ones first."""
    for op in (*NORMS, *LOSSES, *ELEMENTWISE):
        yield row_case(op, 5, 67, group="tiny", quick=op in TINY)
        yield row_case(op, 5, 67, "bfloat16", group="tiny")
        yield row_case(op, SMALL // 1024, 1024, quick=op not in ("log_softmax", "relu_backward", "silu_backward"))
    for columns in (64, 65536):
        for op in ("softmax", "layer_norm", "cross_entropy_and_gradient"):
            yield row_case(op, SMALL // columns, columns, quick=op != "cross_entropy_and_gradient")
    yield row_case("softmax", 1, 1048576)
    for op in ("softmax", "layer_norm", "cross_entropy_and_gradient"):
        yield row_case(op, MIDDLE // 4096, 4096)
    for op in (*NORMS, *LOSSES):
        for columns in COLUMNS:
            yield row_case(op, LARGE // columns, columns)
        for columns in (1024, 65536):
            yield row_case(op, LARGE // columns, columns, "bfloat16")
    for rows, columns in VOCABULARIES:
        for op in LOSSES:
            yield row_case(op, rows, columns, group="vocabulary")
            yield row_case(op, rows, columns, "bfloat16", group="vocabulary")
    for rows, columns in ODD:
        for op in ("softmax", "layer_norm", "layer_norm_backward"):
            yield row_case(op, rows, columns, group="odd")
    for op in ELEMENTWISE:
        yield row_case(op, LARGE // 4096, 4096)
        yield row_case(op, LARGE // 4096, 4096, "bfloat16")


CASES = tuple(row_cases())
