"""Elementwise functions of one tensor with their derivatives in a table, comparisons, and logic on bool tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.functional.array import operator, tensor_method
from pylayers.operations.array import as_operand, elementwise

Array = Any


class Elementwise(Record):
    """y = f(x) with dx = dy f'(x), which `derivative(xp, saved)` gives from what `needs` names: x, y or nothing."""

    ufunc: str
    needs: str
    floating = True  # whether integers become the default dtype
    derivative: Callable[[Any, Array], Array]

    @staticmethod
    def forward(ctx: Any, x: Array) -> Array:
        y = elementwise(ctx.ufunc, x, floating=ctx.floating)
        ctx.save({"x": x, "y": y}.get(ctx.needs))
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> Array:
        return dy * type(ctx).derivative(arrays.namespace(dy), *ctx.saved)


def _unary(
    name: str, ufunc: str, needs: str, derivative: Callable[[Any, Array], Any], keep_integers: bool = False
) -> Callable[[Any], Tensor]:
    body = {"ufunc": ufunc, "needs": needs, "floating": not keep_integers, "derivative": staticmethod(derivative)}
    recorded: Any = type(name.capitalize(), (Elementwise,), {"__doc__": f"numpy.{ufunc}.", **body})

    def function(input: Any) -> Tensor:
        return recorded.apply(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``numpy.{ufunc}`` of each element; any shape."
    return tensor_method(function)


cos = _unary("cos", "cos", "x", lambda xp, x: -xp.sin(x))
exp = _unary("exp", "exp", "y", lambda xp, y: y)
expm1 = _unary("expm1", "expm1", "y", lambda xp, y: y + 1)
log = _unary("log", "log", "x", lambda xp, x: 1 / x)
log10 = _unary("log10", "log10", "x", lambda xp, x: 1 / (x * 2.302585092994046))  # ln 10
log1p = _unary("log1p", "log1p", "x", lambda xp, x: 1 / (1 + x))
log2 = _unary("log2", "log2", "x", lambda xp, x: 1 / (x * 0.6931471805599453))  # ln 2
reciprocal = _unary("reciprocal", "reciprocal", "y", lambda xp, y: -y * y)
sin = _unary("sin", "sin", "x", lambda xp, x: xp.cos(x))
sqrt = _unary("sqrt", "sqrt", "y", lambda xp, y: 1 / (2 * y))
abs = _unary("abs", "absolute", "x", lambda xp, x: xp.sign(x), keep_integers=True)
neg = _unary("neg", "negative", "", lambda xp, _: -1, keep_integers=True)
square = _unary("square", "square", "x", lambda xp, x: 2 * x, keep_integers=True)
# Steps are flat wherever they have a derivative.
ceil = _unary("ceil", "ceil", "", lambda xp, _: 0, keep_integers=True)
floor = _unary("floor", "floor", "", lambda xp, _: 0, keep_integers=True)
round = _unary("round", "rint", "", lambda xp, _: 0, keep_integers=True)
sign = _unary("sign", "sign", "", lambda xp, _: 0, keep_integers=True)
trunc = _unary("trunc", "trunc", "", lambda xp, _: 0, keep_integers=True)
tensor_method("__neg__")(neg)
tensor_method("__abs__")(abs)


def _comparison(name: str, ufunc: str, symbol: str) -> Callable[..., Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        x, y = (x.array if isinstance(x, Tensor) else as_operand(name, x) for x in (input, other))
        return Tensor(elementwise(ufunc, x, y, compares=True))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"input {symbol} other for each pair of elements; shapes broadcast."
    return tensor_method(function)


eq = _comparison("eq", "equal", "==")
ne = _comparison("ne", "not_equal", "!=")
lt = _comparison("lt", "less", "<")
le = _comparison("le", "less_equal", "<=")
gt = _comparison("gt", "greater", ">")
ge = _comparison("ge", "greater_equal", ">=")
logical_and = _comparison("logical_and", "logical_and", "and")
logical_or = _comparison("logical_or", "logical_or", "or")
logical_xor = _comparison("logical_xor", "logical_xor", "xor")
for _function in (eq, ne, lt, le, gt, ge):
    operator(f"__{_function.__name__}__")(_function)


def _on_bits(name: str, ufunc: str, symbol: str) -> Callable[..., Tensor]:
    def function(*operands: Any) -> Tensor:
        plain = [x.array if isinstance(x, Tensor) else as_operand(name, x) for x in operands]
        for x in plain:
            if isinstance(x, float) or getattr(x, "dtype", None) in dtypes.FLOATING:
                raise expected(name, "input", "integers or bool", "floating numbers", error=TypeError)
        return Tensor(np.asarray(elementwise(ufunc, *plain)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{symbol}`` of integers bit by bit, of bool as logic; shapes broadcast."
    return tensor_method(function)


bitwise_and = _on_bits("bitwise_and", "bitwise_and", "&")
bitwise_or = _on_bits("bitwise_or", "bitwise_or", "|")
bitwise_xor = _on_bits("bitwise_xor", "bitwise_xor", "^")
bitwise_not = _on_bits("bitwise_not", "invert", "~")
operator("__and__", "__rand__")(bitwise_and)
operator("__or__", "__ror__")(bitwise_or)
operator("__xor__", "__rxor__")(bitwise_xor)
tensor_method("__invert__")(bitwise_not)


@tensor_method
def isnan(input: Any) -> Tensor:
    """Whether each element is NaN."""
    return ne(input, input)


@tensor_method
def isfinite(input: Any) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    return lt(abs(input.detach() if isinstance(input, Tensor) else input), float("inf"))


@tensor_method
def logical_not(input: Any) -> Tensor:
    """Whether each element is zero."""
    return eq(input, 0)
