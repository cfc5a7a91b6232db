"""Differentiable arithmetic of two operands, and how functions become methods and operators of Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Record, Tensor
from pylayers.errors import expected
from pylayers.operations.array import as_operand, cast, elementwise, is_number

Array = Any
Callee = TypeVar("Callee", bound="Callable[..., Any] | property")


def tensor_method(*names: Any) -> Any:
    """Attaches the decorated function to Tensor under its own name, or under the names given."""
    if len(names) == 1 and callable(names[0]):
        return tensor_method(names[0].__name__)(names[0])

    def attach(function: Callee) -> Callee:
        for name in names:
            setattr(Tensor, name, function)
        return function

    return attach


def operator(name: str, reflected: str = "") -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Attaches a function of two operands as an operator; other types than numbers and arrays are left to Python."""

    def attach(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def left(self: Tensor, other: Any) -> Any:
            return function(self, other) if _is_operand(other) else NotImplemented

        def right(self: Tensor, other: Any) -> Any:
            return function(other, self) if _is_operand(other) else NotImplemented

        setattr(Tensor, name, left)
        if reflected:
            setattr(Tensor, reflected, right)
        return function

    return attach


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, int, float)) or arrays.is_array(as_operand("operator", x))


class Add(Record):
    """x + y."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        return elementwise("add", x, y)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, Array]:
        return dy, dy


class Sub(Record):
    """x - y."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        for name, operand in (("input", x), ("other", y)):
            if isinstance(operand, bool) or getattr(operand, "dtype", None) == dtypes.bool_:
                raise expected("sub", name, "numbers", "bool", "use ^ or logical_not for bool", TypeError)
        return elementwise("subtract", x, y)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, Array | None]:
        return dy, -dy if ctx.needs_input_grad[1] else None


class Mul(Record):
    """x y."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        ctx.save(x if ctx.needs_input_grad[1] else None, y if ctx.needs_input_grad[0] else None)
        return elementwise("multiply", x, y)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, Array | None]:
        x, y = ctx.saved
        return None if y is None else dy * y, None if x is None else dy * x


class Div(Record):
    """x / y, integers as numbers of the default dtype."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        ctx.save(x if ctx.needs_input_grad[1] else None, y)
        return elementwise("true_divide", x, y, floating=True)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, Array | None]:
        x, y = ctx.saved
        return dy / y if ctx.needs_input_grad[0] else None, None if x is None else -dy * (x / y / y)


class Pow(Record):
    """x ** y."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        z = elementwise("square", x) if is_number(y) and y == 2 else elementwise("power", x, y)
        ctx.save(x, y, z if ctx.needs_input_grad[1] else None)
        return z

    @staticmethod
    def backward(ctx: Any, dz: Array) -> tuple[Array | None, Array | None]:
        x, y, z = ctx.saved
        xp = arrays.namespace(dz)
        dx = dy = None
        if ctx.needs_input_grad[0]:
            if is_number(y):
                dx = dz * (y * xp.power(x, y - 1) if y not in (0, 2) else y * x)
            else:
                dx = xp.where(y == 0, 0, dz * (y * xp.power(x, y - 1)))
        if z is not None:
            dy = xp.where((x == 0) & (y >= 0), 0, dz * (z * xp.log(x)))
        return dx, dy


class FloorDivide(Record):
    """The largest whole number <= x / y; without a derivative, as in torch."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        return elementwise("floor_divide", x, y)


class Remainder(Record):
    """x - floor(x / y) y, with the sign of y."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array) -> Array:
        ctx.save(x, y)
        return elementwise("remainder", x, y)

    @staticmethod
    def backward(ctx: Any, dz: Array) -> tuple[Array, Array | None]:
        x, y = ctx.saved
        return dz, -dz * arrays.namespace(dz).floor_divide(x, y) if ctx.needs_input_grad[1] else None


class Maximum(Record):
    """The larger (or smaller) of x and y; where they are equal each gets half of the gradient, at NaN all of it."""

    @staticmethod
    def forward(ctx: Any, x: Array, y: Array, name: str) -> Array:
        ctx.save(x, y)
        ctx.first_loses = "less" if name == "maximum" else "greater"
        return elementwise(name, x, y)

    @staticmethod
    def backward(ctx: Any, dz: Array) -> tuple[Array, Array, None]:
        x, y = ctx.saved
        xp = arrays.namespace(dz)
        shared = xp.where(x == y, dz / 2, dz)
        loses = getattr(xp, ctx.first_loses)
        return xp.where(loses(x, y), 0, shared), xp.where(loses(y, x), 0, shared), None


class Clamp(Record):
    """min(max(x, low), high); a bound may be a number, an array, or None."""

    @staticmethod
    def forward(ctx: Any, x: Array, low: Array | None, high: Array | None) -> Array:
        if low is None and high is None:
            raise expected("clamp", "min", "a bound here or in 'max'", None)
        ctx.save(x, low, high)
        y = x if low is None else elementwise("maximum", x, low)
        return y if high is None else elementwise("minimum", y, high)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, low, high = ctx.saved
        xp = arrays.namespace(dy)
        least, most = -np.inf if low is None else low, np.inf if high is None else high
        inside = (x >= least) & (x <= most)
        _, needs_low, needs_high = ctx.needs_input_grad
        dlow = xp.where((x < least) & (least < most), dy, 0) if needs_low else None
        dhigh = xp.where((x > most) | (most < least), dy, 0) if needs_high else None
        return xp.where(inside, dy, 0), dlow, dhigh


@tensor_method
def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha other; shapes broadcast."""
    return Add.apply(input, other if alpha == 1 else _scaled("add", input, other, alpha))


@tensor_method("sub", "subtract")
def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input - alpha other; shapes broadcast."""
    return Sub.apply(input, other if alpha == 1 else _scaled("sub", input, other, alpha))


def _scaled(op: str, input: Any, other: Any, alpha: float) -> Any:
    """alpha other, in the dtype of the sum."""
    x, y = (v.array if isinstance(v, Tensor) else as_operand(op, v) for v in (input, other))
    dtype = dtypes.result_type(op, x, y)
    if dtype not in dtypes.FLOATING and isinstance(alpha, float):
        raise expected(op, "alpha", "an integer beside integers", alpha, error=TypeError)
    if is_number(y):
        return y * alpha
    return Mul.apply(other.to(dtype) if isinstance(other, Tensor) else cast(y, dtype), alpha)


@tensor_method("mul", "multiply")
def mul(input: Any, other: Any) -> Tensor:
    """input other, elementwise; shapes broadcast."""
    return Mul.apply(input, other)


@tensor_method("div", "divide", "true_divide")
def div(input: Any, other: Any) -> Tensor:
    """input / other, integers as numbers of the default dtype; shapes broadcast."""
    return Div.apply(input, other)


@tensor_method
def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent; ValueError for integers to negative integer powers."""
    return Pow.apply(input, exponent)


@tensor_method
def floor_divide(input: Any, other: Any) -> Tensor:
    """The largest whole number <= input / other; it has no derivative. ZeroDivisionError for integers."""
    return FloorDivide.apply(input, other)


@tensor_method
def remainder(input: Any, other: Any) -> Tensor:
    """input - floor(input / other) other, with the sign of other. ZeroDivisionError for integers."""
    return Remainder.apply(input, other)


@tensor_method
def maximum(input: Any, other: Any) -> Tensor:
    """The larger of each pair; NaN wins. At a tie each gets half of the gradient."""
    return Maximum.apply(input, other, "maximum")


@tensor_method
def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of each pair; NaN wins. At a tie each gets half of the gradient."""
    return Maximum.apply(input, other, "minimum")


@tensor_method("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """min(max(input, min), max); bounds are numbers or tensors, `max` decides where they cross."""
    return Clamp.apply(input, min, max)


for _name, _reflected, _function in (
    ("__add__", "__radd__", add), ("__sub__", "__rsub__", sub), ("__mul__", "__rmul__", mul),
    ("__truediv__", "__rtruediv__", div), ("__pow__", "__rpow__", pow), ("__mod__", "__rmod__", remainder),
    ("__floordiv__", "__rfloordiv__", floor_divide),
):  # fmt: skip
    operator(_name, _reflected)(_function)
