"""Names of dtypes and torch's promotion: the table, the weak operands, and the whole grid against torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pylayers
from pylayers import dtypes

NAMES = [name for name in dtypes.DTYPES if not name.startswith("float8")]
OPERATORS = ("__add__", "__sub__", "__mul__", "__truediv__", "__gt__", "__eq__")
NUMBERS = (True, 2, 1.5)


def operand(name: str, kind: str) -> pylayers.Tensor:
    """[1, 1] or 1 of the dtype."""
    return pylayers.ones(2 if kind == "axes" else (), dtype=name)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("uint8", "int8", "int16"), ("bool", "uint8", "uint8"), ("int64", "float16", "float16"),
        ("float16", "bfloat16", "float32"), ("bfloat16", "float32", "float32"), ("float32", "float64", "float64"),
    ],
)  # fmt: skip
def test_promotion_of_tensors(a: str, b: str, result: str) -> None:
    assert (operand(a, "axes") + operand(b, "axes")).dtype.name == result
    assert (operand(b, "axes") + operand(a, "axes")).dtype.name == result


def test_weak_operands() -> None:
    x, integers = pylayers.ones(2), pylayers.arange(2)
    assert (x + 1).dtype == (1.5 * x).dtype == pylayers.float32
    assert (x + operand("float64", "0-dim")).dtype == pylayers.float32
    assert (integers + operand("float64", "0-dim")).dtype == pylayers.float64
    assert (integers + 1.5).dtype == pylayers.float32
    assert (integers + True).dtype == pylayers.int64
    assert (operand("bool", "axes") + 1).dtype == pylayers.int64
    assert (operand("uint8", "axes") + 1).dtype == pylayers.uint8
    assert (x + np.ones(2)).dtype == pylayers.float64
    assert (x + np.float64(1)).dtype == pylayers.float32  # a Python float too
    assert (x + np.ones(())).dtype == pylayers.float32
    assert (integers / integers.sum()).dtype == pylayers.float32


def test_default_dtype() -> None:
    assert pylayers.get_default_dtype() == pylayers.float32
    pylayers.set_default_dtype("float64")
    try:
        assert pylayers.tensor(1.5).dtype == pylayers.zeros(2).dtype == (pylayers.arange(2) / 2).dtype == np.float64
    finally:
        pylayers.set_default_dtype(pylayers.float32)
    with pytest.raises(TypeError, match="set_default_dtype: argument 'dtype': expected a floating dtype, got int64"):
        pylayers.set_default_dtype(pylayers.int64)


def test_names() -> None:
    assert pylayers.long == pylayers.int64 == np.dtype(np.int64)
    assert (pylayers.float, pylayers.double, pylayers.half) == (pylayers.float32, pylayers.float64, pylayers.float16)
    assert (pylayers.int, pylayers.bool) == (np.dtype(np.int32), np.dtype(np.bool_))
    assert pylayers.bfloat16.name == "bfloat16" and pylayers.bfloat16.itemsize == 2
    with pytest.raises(AttributeError, match="pylayers has no 'float7' yet; did you mean 'float'"):
        pylayers.float7  # noqa: B018


@pytest.mark.parametrize("bad", ["complex64", ">f4", "object", np.complex128, np.dtype(">f4"), np.uint16, "x", None, 3])
def test_what_is_no_dtype(bad: object) -> None:
    with pytest.raises(TypeError, match="as_dtype: argument 'dtype': expected one of bool, uint8, .*, got "):
        dtypes.as_dtype("as_dtype", bad)


def test_float8_does_not_promote() -> None:
    x = pylayers.zeros(2, dtype="float8_e5m2")
    with pytest.raises(TypeError, match="expected dtypes with a common type, got float8_e5m2 and float32"):
        dtypes.result_type("add", x.array, np.zeros(2, np.float32))


def test_sixteen_bits_are_computed_in_float32_and_rounded_once() -> None:
    x = pylayers.tensor([2049.0, 3.0], dtype="float16")  # 2049 is no float16: 2048
    assert (x * 0.1).tolist() == np.float32([2048 * np.float32(0.1), 3 * np.float32(0.1)]).astype(np.float16).tolist()
    many = pylayers.full((4096,), 1.0, dtype="bfloat16")
    assert many.sum().item() == 4096  # in bfloat16 the sum would stop at 256
    assert pylayers.full((100_000,), 4.0, dtype="float16").mean().item() == 4  # though the sum is no float16


def result_of(x: object, y: object, operator: str) -> object:
    """What the operator gives, or the type of its error."""
    if isinstance(x, (bool, int, float)):
        operator = operator.replace("__", "__r", 1).replace("__rgt", "__lt").replace("__req", "__eq")
        x, y = y, x
    try:
        return getattr(x, operator)(y)
    except (TypeError, RuntimeError):
        return "error"


def test_grid_against_torch() -> None:
    torch = pytest.importorskip("torch")
    kinds = [*itertools.product(NAMES, ("axes", "0-dim")), *((number, "number") for number in NUMBERS)]
    compared = 0
    for (a, a_kind), (b, b_kind) in itertools.product(kinds, kinds):
        if a_kind == b_kind == "number":
            continue
        ours = [name if kind == "number" else operand(name, kind) for name, kind in ((a, a_kind), (b, b_kind))]
        theirs = [
            name if kind == "number" else torch.ones(2 if kind == "axes" else (), dtype=getattr(torch, name))
            for name, kind in ((a, a_kind), (b, b_kind))
        ]
        for operator in OPERATORS:
            found, wanted = result_of(*ours, operator), result_of(*theirs, operator)
            where = f"{operator} of {a} {a_kind} and {b} {b_kind}"
            if isinstance(wanted, str) or isinstance(found, str):
                assert found == wanted, where
                continue
            assert f"torch.{found.dtype.name}" == str(wanted.dtype), where
            assert found.tolist() == wanted.tolist(), where
            compared += 1
    assert compared > 2000
