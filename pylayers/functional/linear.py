"""linear: y = x weight^T + bias."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Function, Tensor
from pylayers.backends.protocol import Activation
from pylayers.functional.activation import fused
from pylayers.ops import activation as activation_ops
from pylayers.ops import linear as ops

Array = Any


class Linear(Function):
    """y = activation(x weight^T + bias)."""

    @staticmethod
    def forward(ctx: Any, x: Array, weight: Array, bias: Array | None, activation: Activation | None) -> Array:
        needs = ctx.needs_input_grad
        y, saved = fused(lambda inner: ops.linear(x, weight, bias, inner), activation, any(needs))
        ctx.activation = activation
        ctx.save(x if needs[1] else None, weight if needs[0] else None, saved)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, weight, saved = ctx.saved
        if ctx.activation is not None:
            dy = activation_ops.activation_backward(dy, saved, ctx.activation)
        return *ops.linear_backward(dy, x, weight, ctx.needs_input_grad[:3]), None


def linear(input: Any, weight: Any, bias: Any = None, *, activation: Activation | None = None) -> Tensor:
    """y = x weight^T + bias: input (..., in), weight (out, in), bias (out,) -> (..., out).

    `activation` (relu, sigmoid, tanh, gelu, gelu_tanh, silu) is applied in the same kernel.
    TypeError unless all have one floating dtype and device, ValueError for shapes that disagree.
    """
    return Linear.apply(input, weight, bias, activation)
