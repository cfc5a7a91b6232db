"""layer_norm."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Operation, Tensor
from pylayers.ops.norm import layer_norm as normalize
from pylayers.ops.norm import layer_norm_backward, normalized

Array = Any


class LayerNorm(Operation):
    """y = (x - mean) / sqrt(variance + eps) weight + bias over the last axes."""

    @staticmethod
    def forward(
        ctx: Any, x: Array, shape: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
    ) -> Array:
        y, moments = normalize(x, shape, weight, bias, eps)
        ctx.shape = shape
        ctx.save(x, *moments, weight)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, mean, rstd, weight = ctx.saved
        dx, dweight, dbias = layer_norm_backward(dy, x, (mean, rstd), weight, ctx.shape)
        needs = ctx.needs_input_grad
        return dx, None, dweight if needs[2] else None, dbias if needs[3] else None, None


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + eps) weight + bias with moments over the last axes, input (..., *normalized_shape).

    The variance is biased. ValueError for shapes that disagree and for eps <= 0.
    """
    return LayerNorm.apply(input, normalized("layer_norm", normalized_shape), weight, bias, eps)
