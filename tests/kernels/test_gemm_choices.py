"""The table of what was measured: which row a product is planned by, and that every row names what can be had."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_gemm_plan import A100, H200, MODULE, untouched

HEADER = Path(__file__).parents[2] / "csrc" / "choices.hpp"


class Measured(NamedTuple):
    """A matrix product of a row of `csrc/choices.hpp`."""

    a: str = "bfloat16"
    b: str = "bfloat16"
    precision: str = "float32"
    capability: int = 90
    a_lies: str = "rows"
    b_lies: str = "columns"
    batches: int = 1
    m: int = 1000
    n: int = 1000
    k: int = 1000
    variant: str = "sm90_64x64x64*2"

    def row(self) -> tuple[Any, ...]:
        """As it stands in the table."""
        key = f"{self.a} {self.b} {self.precision} {self.a_lies} {self.b_lies}"
        return "gemm", self.capability, key, self.batches, self.m, self.n, self.k, self.variant


def lying(shape: tuple[int, int, int], dtype: str, how: str) -> Any:
    """An operand in aligned rows or columns, or one element off."""
    batches, rows, columns = shape
    inner, outer = (rows, columns) if how == "columns" else (columns, rows)
    step = -(-inner // 64) * 64
    strides = (outer * step, 1, step) if how == "columns" else (outer * step, step, 1)
    return untouched(shape, dtype, strides, offset=1 if how == "any" else 0)


def plan(problem: Measured, *rows: Measured, spec: Any = H200, variant: str = "") -> str:
    """The variant for this problem if these rows had been measured."""
    p = problem
    a, b = lying((p.batches, p.m, p.k), p.a, p.a_lies), lying((p.batches, p.k, p.n), p.b, p.b_lies)
    measured = [row.row() for row in rows]
    found = MODULE.plan("gemm", [a, b], precision=p.precision, spec=spec, variant=variant, measured=measured)
    return str(found.variant)


def test_what_was_measured_comes_before_the_model() -> None:
    problem = Measured()
    assert plan(problem) == "sm90_64x128x64"
    assert plan(problem, Measured()) == "sm90_64x64x64*2"
    assert plan(problem, Measured(variant="sm90_128x128x64_pingpong*1")) == "sm90_128x128x64_pingpong"
    assert plan(problem, Measured(variant="sm90_64x64x64*4")) == "sm90_64x64x64*4"
    assert plan(problem, Measured(variant="sm90_64x64x64*1000")) == "sm90_64x64x64*16"  # whole tiles of k
    assert plan(problem, Measured(), variant="sm90_64x64x64*3") == "sm90_64x64x64*3"


@pytest.mark.parametrize("dimension", ["batches", "m", "n", "k"])
def test_as_far_as_the_root_of_two(dimension: str) -> None:
    row = Measured(batches=1000)
    for size, near in {707: False, 708: True, 1414: True, 1415: False}.items():
        got = plan(row._replace(**{dimension: size}), row)
        assert (got == "sm90_64x64x64*2") == near, f"{dimension} = {size}"


def test_the_nearest_row_is_taken() -> None:
    rows = [
        Measured(m=m, n=n, variant=f"sm90_64x64x64*{s}") for s, (m, n) in enumerate([(1000, 1280), (1280, 1000)], 2)
    ]
    assert plan(Measured(m=1100, n=1100 + 1), *rows) == "sm90_64x64x64*2"
    assert plan(Measured(m=1100 + 1, n=1100), *rows) == "sm90_64x64x64*3"
    assert plan(Measured(m=1000, n=1280), *rows) == "sm90_64x64x64*2"
    assert plan(Measured(m=1280, n=1000), *rows) == "sm90_64x64x64*3"
    # The nearest of those that are like it in every size, though another is nearer in two.
    rows = [Measured(k=1000, variant="sm90_64x64x64*2"), Measured(m=1390, n=1390, k=1390, variant="sm90_64x64x64*3")]
    assert plan(Measured(k=1415), *rows) == "sm90_64x64x64*3"


@pytest.mark.parametrize(
    "other",
    [
        {"a": "float16", "b": "float16"},
        {"a": "float8_e4m3fn", "b": "float8_e5m2"},
        {"precision": "tf32", "a": "float32", "b": "float32"},
        {"a_lies": "columns"},
        {"b_lies": "rows"},
        {"a_lies": "any"},
        {"b_lies": "any"},
    ],
    ids=str,
)
def test_rows_of_other_problems_say_nothing(other: dict[str, Any]) -> None:
    problem, rows = Measured(**other), [Measured(), Measured(k=1400)]
    assert plan(problem, *rows) == plan(problem)
    own = Measured(**other, variant=f"{plan(problem)}*3")
    assert plan(problem, *sorted([*rows, own], key=Measured.row)) == f"{plan(problem)}*3"
    assert plan(Measured(), *sorted([*rows, own], key=Measured.row)) == "sm90_64x64x64*2"


def test_rows_of_other_devices_say_nothing() -> None:
    row = Measured(capability=80, variant="sm80_64x64x64*2")
    assert plan(Measured(), row, spec=A100) == "sm80_64x64x64*2"
    assert plan(Measured(), row) == plan(Measured())
    assert plan(Measured(), row._replace(capability=90)) == plan(Measured())  # no code of Ampere on Hopper


def test_what_cannot_be_had_is_left_to_the_model() -> None:
    gathered = {"a": "float32", "b": "float32", "precision": "tf32", "a_lies": "columns"}
    problem = Measured(**gathered)  # type: ignore[arg-type]
    assert plan(problem, problem._replace(variant="sm90_64x64x32*1")) == plan(problem)
    assert "gather" in plan(problem)
    for variant in ("none such*1", "sm90_64x64x32*1", "sm90_64x64x64*", "sm90_64x64x64*2x", "sm90_64x64x64*0"):
        assert plan(Measured(), Measured(variant=variant)) == plan(Measured()), variant
    for variant in ("none such*1", "sm90_64x64x64*2x", "sm90_64x64x64*-1", f"sm90_64x64x64*{2**64}"):
        with pytest.raises(
            ValueError, match=r"gemm: argument 'variant': expected a row of the table that serves .* got"
        ):
            plan(Measured(), variant=variant)


def test_empty_products_are_like_none() -> None:
    for size in ("batches", "m", "n", "k"):
        empty = Measured()._replace(**{size: 0})
        assert plan(empty, empty, Measured()) == plan(empty)


def test_rows_come_sorted_and_once() -> None:
    rows = [Measured(), Measured(m=2000)]
    for wrong in ([*rows, rows[0]], [rows[0], rows[0]]):
        with pytest.raises(ValueError, match=r"gemm: argument 'measured': expected sorted rows of different problems"):
            plan(Measured(), *wrong)
    for field in Measured._fields[:-1]:
        value = getattr(Measured(), field)
        other = rows[0]._replace(**{field: value + 1 if isinstance(value, int) else f"{value}x"})
        plan(Measured(), rows[0], other)
        with pytest.raises(ValueError, match="sorted"):
            plan(Measured(), other, rows[0])


def read(text: str) -> list[Measured]:
    """The rows of a table: a line for each, as a tuple in braces."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith('{"')]
    rows = [ast.literal_eval(f"({line[1:-2]})") for line in lines]
    found = []
    for _, capability, key, *sizes, variant in (row for row in rows if row[0] == "gemm"):
        a, b, precision, *lies = key.split()
        found.append(Measured(a, b, precision, capability, *lies, *sizes, variant))
    return found


def not_to_be_had(rows: list[Measured]) -> list[Measured]:
    """Those whose own problem is not planned by them."""
    specs = {row.capability: MODULE.DeviceSpec(row.capability, 132, 232448) for row in rows}
    return [row for row in rows if plan(row, row, spec=specs[row.capability]) != row.variant.removesuffix("*1")]


def test_every_row_of_the_table_can_be_had() -> None:
    assert not_to_be_had(read(HEADER.read_text())) == []


def test_rows_are_read_as_they_are_written() -> None:
    line = '    {"gemm", 90, "bfloat16 bfloat16 float32 rows columns", 1, 1000, 1000, 1000, "sm90_64x64x64*2"},\n'
    assert read(f"// what\n{line}") == [Measured()]
    wrong = Measured(variant="sm90_64x128x64*100000")
    assert not_to_be_had([Measured(), wrong]) == [wrong]
