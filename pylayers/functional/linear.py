"""linear: y = x weight^T + bias."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Tensor, applied
from pylayers.backends.contract import Activation
from pylayers.functional.activation import fused
from pylayers.functional.chain import Chained, below
from pylayers.operations.activation import activation_backward
from pylayers.operations.linear import linear as product
from pylayers.operations.linear import linear_backward

Array = Any


class Linear(Chained):
    """y = activation(x weight^T + bias)."""

    allocates = True

    @staticmethod
    def forward(ctx: Any, x: Array, weight: Array, bias: Array | None, activation: Activation | None = None) -> Array:
        needs = ctx.needs_input_grad
        if activation is None:
            y, saved = product(x, weight, bias), None
        else:
            y, saved = fused(lambda inner: product(x, weight, bias, inner), activation, True in needs)
            ctx.activation = activation
        if True in needs:
            ctx.biased = needs[2]
            ctx.save(x if needs[1] else None, weight if needs[0] else None, saved)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, weight, saved = ctx.saved
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        finished, dbias = ctx.take(dy)
        if ctx.activation is not None and not finished:
            dy = activation_backward(dy, saved, ctx.activation)
        needs = needs_x, needs_weight, needs_bias and dbias is None
        records = below(ctx) if needs_x else None
        if records is None:
            dx, dweight, sums, _ = linear_backward(dy, x, weight, needs)
        else:
            made = records.activated
            dx, dweight, sums, below_sums = linear_backward(
                dy, x, weight, needs, made.saved_for_activation(), made.activation, records.biased is not None
            )
            records.give(dx, below_sums)
        return (dx, dweight, sums if dbias is None else dbias, None)[: len(ctx.edges)]


def linear(input: Any, weight: Any, bias: Any = None, *, activation: Activation | None = None) -> Tensor:
    """y = x weight^T + bias: input (..., in), weight (out, in), bias (out,) -> (..., out).

    `activation` (relu, sigmoid, tanh, gelu, gelu_tanh, silu) is applied in the same kernel.
    TypeError unless all have one floating dtype and device, ValueError for shapes that disagree.
    """
    return applied(Linear, (input, weight, bias) if activation is None else (input, weight, bias, activation))
