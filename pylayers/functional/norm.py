"""layer_norm and rms_norm."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.operations import norm

Array = Any


class LayerNorm(Record):
    """y = (x - mean) / sqrt(variance + eps) weight + bias over the last axes."""

    @staticmethod
    def forward(
        ctx: Any, x: Array, shape: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
    ) -> Array:
        y, moments = norm.layer_norm(x, shape, weight, bias, eps)
        ctx.shape = shape
        ctx.save(x, *moments, weight)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, mean, rstd, weight = ctx.saved
        dx, dweight, dbias = norm.layer_norm_backward(dy, x, (mean, rstd), weight, ctx.shape)
        needs = ctx.needs_input_grad
        return dx, None, dweight if needs[2] else None, dbias if needs[3] else None, None


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + eps) weight + bias with moments over the last axes, input (..., *normalized_shape).

    The variance is biased. ValueError for shapes that disagree and for eps <= 0.
    """
    return LayerNorm.apply(input, norm.normalized("layer_norm", normalized_shape), weight, bias, eps)


class RMSNorm(Record):
    """y = x / sqrt(mean(x^2) + eps) weight over the last axes."""

    @staticmethod
    def forward(ctx: Any, x: Array, shape: tuple[int, ...], weight: Array | None, eps: float | None) -> Array:
        y, rstd = norm.rms_norm(x, shape, weight, eps)
        ctx.shape = shape
        ctx.save(x, rstd, weight)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, rstd, weight = ctx.saved
        dx, dweight = norm.rms_norm_backward(dy, x, rstd, weight, ctx.shape)
        return dx, None, dweight if ctx.needs_input_grad[2] else None, None


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    """input / sqrt(mean(input^2) + eps) weight, the mean over the last axes, input (..., *normalized_shape).

    eps None is the machine epsilon of float64 for float64, else of float32. ValueError for shapes that disagree.
    """
    return RMSNorm.apply(input, norm.normalized("rms_norm", normalized_shape), weight, eps)
