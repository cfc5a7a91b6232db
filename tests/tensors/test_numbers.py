"""Python numbers beside tensors: those that a dtype does not hold wrap or are refused as in torch, and never crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pylayers
from pylayers import dtypes

pytestmark = pytest.mark.filterwarnings("error")

# x uint8 and f float32 of [1, 2, 3], m a mask, lib pylayers or torch.
WRAPPED: dict[str, Callable[..., Any]] = {
    "add": lambda lib, x, f, m: [x + 300, x + 2**40, 300 + x, x.to(lib.int8) + 200, x.to(lib.int32) + 2**40],
    "sub": lambda lib, x, f, m: [x - 300, 300 - x, lib.sub(lib.ones(3), x, alpha=-1), lib.add(x, x, alpha=-1)],
    "mul": lambda lib, x, f, m: [x * -1, -200 * x],
    "alpha": lambda lib, x, f, m: [lib.add(f, x, alpha=0.5), lib.add(f, m, alpha=2), f.sub(2, alpha=3)],
    "division": lambda lib, x, f, m: [x // 300, x % 300, 300 // x],
    "bits": lambda lib, x, f, m: [x & 300, x | -1, x ^ 511],
    "in_place": lambda lib, x, f, m: [x.clone().add_(300), x.clone().mul_(-3)],
    "float": lambda lib, x, f, m: [f + 1e39, f * -1e39, f.half() + 1e6, f.half() * -1e9],
    "held": lambda lib, x, f, m: [
        lib.full((2,), -1, dtype=lib.uint8), lib.full_like(x, 255), x.masked_fill(m, -255), lib.full_like(x, 2.5),
        f.masked_fill(m, float("inf")), f.half().masked_fill(m, float("-inf")), m.masked_fill(m, 3),
        lib.full((2,), float("nan"), dtype=lib.bfloat16), x.clone().fill_(True), lib.full_like(x.long(), 2**62),
    ],
}  # fmt: skip

REFUSED: dict[str, Callable[..., Any]] = {
    "full": lambda lib, x, f, m: lib.full((2,), 256, dtype=lib.uint8),
    "full negative": lambda lib, x, f, m: lib.full((2,), -256, dtype=lib.uint8),
    "full nan": lambda lib, x, f, m: lib.full((2,), float("nan"), dtype=lib.int32),
    "full infinite": lambda lib, x, f, m: lib.full((2,), float("inf"), dtype=lib.int64),
    "full_like": lambda lib, x, f, m: lib.full_like(x, 300),
    "full_like float": lambda lib, x, f, m: lib.full_like(f, 1e39),
    "full_like float16": lambda lib, x, f, m: lib.full_like(f.half(), 1e6),
    "masked_fill": lambda lib, x, f, m: x.masked_fill(m, 300),
    "masked_fill int32": lambda lib, x, f, m: x.to(lib.int32).masked_fill(m, 2**40),
    "masked_fill float": lambda lib, x, f, m: f.masked_fill(m, 1e39),
    "masked_fill float16": lambda lib, x, f, m: f.half().masked_fill(m, -1e9),
    "fill_": lambda lib, x, f, m: x.fill_(300),
    "set": lambda lib, x, f, m: x.__setitem__(0, -1000),
    "set float": lambda lib, x, f, m: f.__setitem__(0, 1e39),
    "where": lambda lib, x, f, m: lib.where(m, x, 300),
    "where float": lambda lib, x, f, m: lib.where(m, f, 1e39),
    "power": lambda lib, x, f, m: x**300,
    "clamp": lambda lib, x, f, m: x.clamp(0, 300),
    "zero": lambda lib, x, f, m: x // 256,  # 256 wraps to 0
}


def given(lib: Any) -> tuple[Any, ...]:
    return (
        lib.tensor(np.array([1, 2, 3], np.uint8)),
        lib.tensor([1.0, 2.0, 3.0]),
        lib.tensor([True, False, True]),
    )


@pytest.mark.parametrize("case", WRAPPED)
def test_against_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    mine, theirs = WRAPPED[case](pylayers, *given(pylayers)), WRAPPED[case](torch, *given(torch))
    for place, (found, wanted) in enumerate(zip(mine, theirs, strict=True)):
        assert f"torch.{found.dtype.name}" == str(wanted.dtype), place
        np.testing.assert_array_equal(found.double().numpy(), wanted.double().numpy(), err_msg=str(place))


@pytest.mark.parametrize("case", REFUSED)
def test_refused_as_in_torch(case: str) -> None:
    """By a ValueError of the one form where torch has a RuntimeError, and nothing is changed."""
    x, f, m = given(pylayers)
    with pytest.raises(
        (ValueError, ZeroDivisionError), match="argument '.*': expected a number that .* holds, got|zero"
    ):
        REFUSED[case](pylayers, x, f, m)
    assert x.tolist() == f.tolist() == [1, 2, 3]
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError, match="without overflow|ZeroDivisionError"):
        REFUSED[case](torch, *given(torch))


@pytest.mark.parametrize("value", ["x", "7", None, [1.0], 1j, object], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e4m3fn", "int32", "bool"])
def test_what_is_no_number(dtype: str, value: Any) -> None:
    """The value of a fill; ml_dtypes ends the process where a str reaches it."""
    x, mask = pylayers.zeros(2, dtype=dtype), pylayers.tensor([True, False])
    for fill in (
        lambda: pylayers.masked_fill(x, mask, value), lambda: pylayers.full((2,), value, dtype=dtype),
        lambda: pylayers.full_like(x, value), lambda: x.fill_(value), lambda: x.masked_fill_(mask, value),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="expected a number|expected a NumPy or CuPy array|expected a dtype"):
            fill()
    assert not x.bool().any()


@pytest.mark.parametrize("number", [-1, 256, 2**40])
def test_numbers_where_wrapping_means_nothing(number: int) -> None:
    x = pylayers.tensor(np.array([1, 2, 3], np.uint8))
    for call in (lambda: x**number, lambda: x.clamp(number, None), lambda: pylayers.minimum(x, number)):
        with pytest.raises(ValueError, match=f"argument 'other': expected a number that uint8 holds, got {number}"):
            call()
    assert (x > number).tolist() == [number < 0] * 3 and (x != number).all()  # comparisons take it as it is


def test_numbers_too_long_for_any_integer() -> None:
    for x in (pylayers.arange(3), pylayers.ones(3)):
        with pytest.raises(ValueError, match=r"add: argument 'other': expected a number that (int64|float32) holds"):
            x + 10**400


def test_values_of_numpy_and_of_tensors() -> None:
    x, mask = pylayers.zeros(2, dtype="uint8"), pylayers.tensor([True, False])
    for value in (np.int64(7), np.float32(7), np.uint8(7), np.array(7), pylayers.tensor(7)):
        assert pylayers.full_like(x, value).tolist() == pylayers.full((2,), value, dtype="uint8").tolist() == [7, 7]
        assert pylayers.full((2,), value).tolist() == [7, 7]
    assert x.masked_fill(mask, pylayers.tensor(7)).tolist() == [7, 0]
    with pytest.raises(
        ValueError, match="full_like: argument 'fill_value': expected a number that uint8 holds, got 300"
    ):
        pylayers.full_like(x, np.int64(300))


@pytest.mark.parametrize("bad", [np.ones(2, complex), np.ones(2, object), np.ones(2, ">f4"), np.ones(2, np.uint32)])
def test_raw_arrays_of_other_dtypes(bad: np.ndarray) -> None:
    """Refused by every function of arithmetic, alone or beside a tensor, in the words of the constructor."""
    calls: list[Callable[[], Any]] = [
        lambda: pylayers.log(bad), lambda: pylayers.add(bad, bad), lambda: pylayers.ones(2) + bad,
        lambda: pylayers.mul(bad, 2), lambda: pylayers.neg(bad), lambda: pylayers.clamp(bad, 0, 1),
        lambda: pylayers.eq(bad, bad), lambda: pylayers.bitwise_not(bad), lambda: pylayers.maximum(bad, 1),
        lambda: pylayers.where(np.ones(2, bool), bad, bad), lambda: pylayers.where(np.ones(2, bool), bad, 0),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match=r"expected a dtype among bool, uint8, .*, got"):
            call()


@pytest.mark.parametrize("name", dtypes.DTYPES)
def test_held(name: str) -> None:
    dtype = dtypes.DTYPES[name]
    for value in (0, 1, True, 1.0, np.float32(1), np.array(1)):
        assert dtypes.held("op", "value", value, dtype) == value
    with pytest.raises(TypeError, match="op: argument 'value': expected a number, got '1'"):
        dtypes.held("op", "value", "1", dtype)
