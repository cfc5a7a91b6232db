"""conv1d, conv2d, conv3d."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.backends.contract import Activation
from pylayers.errors import expected
from pylayers.functional.activation import fused
from pylayers.functional.shape import as_tensor
from pylayers.operations.activation import activation_backward
from pylayers.operations.conv import Geometry, conv, conv_backward
from pylayers.operations.conv import geometry as checked_geometry

Array = Any


class Convolution(Record):
    """y = activation(x * weight + bias) for x (N, C, *S)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Array,
        weight: Array,
        bias: Array | None,
        geometry: Geometry,
        activation: Activation | None,
    ) -> Array:
        needs = ctx.needs_input_grad
        y, saved = fused(lambda inner: conv(x, weight, bias, geometry, inner), activation, any(needs))
        ctx.geometry, ctx.activation, ctx.x_shape = geometry, activation, x.shape
        ctx.save(x if needs[1] else None, weight, saved)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array | None, ...]:
        x, weight, saved = ctx.saved
        if ctx.activation is not None:
            dy = activation_backward(dy, saved, ctx.activation)
        gradients = conv_backward(dy, x, ctx.x_shape, weight, ctx.geometry, ctx.needs_input_grad[:3])
        return *gradients, None, None


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """Cross-correlation of input (N, C, L) or (C, L) with weight (K, C/groups, R); see `conv2d`."""
    return _conv(1, input, weight, bias, (stride, padding, dilation, groups), activation)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """Cross-correlation of input (N, C, H, W) or (C, H, W) with weight (K, C/groups, R, S), plus bias (K,).

    padding: an integer, one for each spatial axis, one (before, after) for each, "valid" or "same". `activation` is
    applied in the same kernel. The result has (size + padding - dilation (kernel - 1) - 1) // stride + 1 elements on
    each spatial axis. TypeError for dtypes that differ; ValueError for shapes that disagree and for a kernel larger
    than the padded input.
    """
    return _conv(2, input, weight, bias, (stride, padding, dilation, groups), activation)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """Cross-correlation of input (N, C, D, H, W) or (C, D, H, W) with weight (K, C/groups, *R); see `conv2d`."""
    return _conv(3, input, weight, bias, (stride, padding, dilation, groups), activation)


def _conv(
    rank: int, input: Any, weight: Any, bias: Any, how: tuple[Any, Any, Any, Any], activation: Activation | None
) -> Tensor:
    op = f"conv{rank}d"
    weight = as_tensor(op, weight)
    if weight.ndim != rank + 2:
        raise expected(op, "weight", f"{rank + 2} axes (K, C/groups, ...)", f"shape {weight.shape}")
    x, single = batched(op, input, rank)
    y = Convolution.apply(x, weight, bias, checked_geometry(weight.array, *how), activation)
    return y[0] if single else y


def batched(op: str, input: Any, rank: int) -> tuple[Tensor, bool]:
    """The input (N, C, *S) or (C, *S) of `rank` spatial axes with its batch axis, and whether that axis was added."""
    x = as_tensor(op, input)
    if x.ndim == rank + 2:
        return x, False
    if x.ndim != rank + 1:
        wanted = f"{rank + 2} axes (N, C, ...) or {rank + 1} (C, ...)"
        raise expected(op, "input", wanted, f"shape {x.shape}")
    return x[None], True
