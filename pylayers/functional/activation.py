"""relu, sigmoid, tanh, gelu and silu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pylayers.autograd import Tensor
from pylayers.backends.contract import Activation
from pylayers.functional.array import tensor_method
from pylayers.functional.chain import Chained
from pylayers.functional.inplace import changed
from pylayers.operations import checks
from pylayers.operations.activation import ACTIVATIONS, activation_backward, activation_forward, saves_result

Array = Any


class Activate(Chained):
    """y = activation(x)."""

    elementwise = True

    @staticmethod
    def forward(ctx: Any, x: Array, activation: Activation) -> Array:
        y = activation_forward(x, activation)
        ctx.activation = activation
        ctx.save(y if saves_result(activation) else x)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None]:
        finished, _ = ctx.take(dy)
        return dy if finished else activation_backward(dy, ctx.saved[0], ctx.activation), None


def fused(
    product: Callable[[Activation | None], Array], activation: Activation | None, recorded: bool
) -> tuple[Array, Array | None]:
    """product(activation) and what the activation's gradient needs: its result, or, kept apart, its argument."""
    if activation is None:
        return product(None), None
    checks.choice("activation", "activation", activation, ACTIVATIONS)
    if saves_result(activation) or not recorded:
        y = product(activation)
        return y, y
    x = product(None)
    return activation_forward(x, activation), x


@tensor_method
def relu(input: Any, inplace: bool = False) -> Tensor:
    """max(x, 0), any shape; NaN stays NaN. With `inplace` in the memory of the input, which becomes the result."""
    return changed("relu", input, relu) if inplace else Activate.apply(input, "relu")


@tensor_method
def sigmoid(input: Any) -> Tensor:
    """1 / (1 + exp(-x)), any shape."""
    return Activate.apply(input, "sigmoid")


@tensor_method
def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent, any shape."""
    return Activate.apply(input, "tanh")


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """x Phi(x) with the normal distribution function, or its tanh approximation with approximate="tanh"; any shape."""
    checks.choice("gelu", "approximate", approximate, ("none", "tanh"))
    return Activate.apply(input, "gelu" if approximate == "none" else "gelu_tanh")


def silu(input: Any, inplace: bool = False) -> Tensor:
    """x sigmoid(x), any shape; `inplace` as for `relu`."""
    return changed("silu", input, silu) if inplace else Activate.apply(input, "silu")
