"""Convolution (cross-correlation, as in every such package) of any number of spatial dimensions, and its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pylayers import backends
from pylayers.backends.contract import Activation, Pads, Sizes
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.activation import ACTIVATIONS

Array = Any


@dataclass(frozen=True)
class Geometry:
    """How the window moves, one entry for each spatial dimension; padding as (before, after)."""

    stride: Sizes
    padding: Pads
    dilation: Sizes
    groups: int

    @property
    def arguments(self) -> tuple[Sizes, Pads, Sizes, int]:
        """In the order of the backends' arguments."""
        return self.stride, self.padding, self.dilation, self.groups


def geometry(
    weight: Array, stride: object = 1, padding: object = 0, dilation: object = 1, groups: object = 1
) -> Geometry:
    """The checked geometry for weight (K, C/groups, *R).

    stride, dilation: an integer or one for each dimension; padding: the same, or one (before, after) for each, or
    "valid" (none), or "same" (the output is as large as the input; stride 1 only, the odd element goes after).
    """
    op, rank = _op(weight), weight.ndim - 2
    steps = checks.sizes(op, "stride", stride, rank, 1)
    spread = checks.sizes(op, "dilation", dilation, rank, 1)
    count = checks.whole(op, "groups", groups, 1)
    if isinstance(padding, str):
        checks.choice(op, "padding", padding, ("same", "valid"))
        if padding == "same" and any(step != 1 for step in steps):
            raise expected(op, "padding", "an integer for a strided convolution", "'same'")
        total = [d * (r - 1) if padding == "same" else 0 for d, r in zip(spread, weight.shape[2:])]
        pads: Pads = tuple((t // 2, t - t // 2) for t in total)
    elif isinstance(padding, (tuple, list)) and padding and all(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != rank:
            raise expected(op, "padding", f"{rank} pairs (before, after)", padding)
        pads = tuple((before, after) for before, after in (checks.sizes(op, "padding", pair, 2, 0) for pair in padding))
    else:
        pads = tuple((p, p) for p in checks.sizes(op, "padding", padding, rank, 0))
    return Geometry(steps, pads, spread, count)


def conv(x: Array, weight: Array, bias: Array | None, how: Geometry, activation: Activation | None = None) -> Array:
    """activation(x * weight + bias): x (N, C, *S), weight (K, C/groups, *R), bias (K,) -> (N, K, *P).

    P = (S + before + after - dilation (R - 1) - 1) // stride + 1. TypeError unless all have one floating dtype and
    device; ValueError for shapes that disagree and for a kernel larger than the padded input.
    """
    op = _op(weight)
    checks.same_dtype(op, "x", x, "weight", weight)
    checks.choice(op, "activation", activation, (None, *ACTIVATIONS))
    if x.ndim != weight.ndim:
        raise expected(op, "x", f"{weight.ndim} axes (N, C, ...) for weight {weight.shape}", f"shape {x.shape}")
    if x.shape[1] != weight.shape[1] * how.groups:
        wanted = f"{weight.shape[1] * how.groups} channels on axis 1 for weight {weight.shape} and groups {how.groups}"
        raise expected(op, "x", wanted, f"shape {x.shape}")
    if weight.shape[0] % how.groups:
        raise expected(op, "groups", f"a divisor of the {weight.shape[0]} output channels", how.groups)
    if bias is not None:
        checks.same_dtype(op, "bias", bias, "weight", weight)
        checks.shape(op, "bias", bias, weight.shape[:1])
    padded = tuple(s + sum(p) for s, p in zip(x.shape[2:], how.padding))
    reach = tuple(d * (r - 1) + 1 for d, r in zip(how.dilation, weight.shape[2:]))
    if any(r > p for r, p in zip(reach, padded)):
        raise expected(op, "weight", f"a kernel no larger than the padded input {padded}", f"{reach} with dilation")
    return backends.of(op, x, weight, bias).conv_forward(x, weight, bias, *how.arguments, activation)


def conv_backward(
    dy: Array,
    x: Array | None,
    x_shape: Sizes,
    weight: Array,
    how: Geometry,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """dy (N, K, *P) -> dx of x_shape, dweight of weight's shape, dbias (K,), each only where `needs` says so."""
    backend = backends.of(_op(weight), dy, x, weight)
    dx = dweight = dbias = None
    if needs[0]:
        dx = backend.conv_input_gradient(dy, weight, x_shape, *how.arguments)
    if needs[1]:
        dweight = backend.conv_weight_gradient(dy, x, weight.shape, *how.arguments)
    if needs[2]:
        n, k = dy.shape[:2]
        dbias = backend.column_sum(dy.reshape(n, k, dy.size // max(n * k, 1)))
    return dx, dweight, dbias


def _op(weight: Array) -> str:
    checks.floating("conv", "weight", weight)
    if weight.ndim < 3:
        raise expected("conv", "weight", "shape (K, C/groups, *R) with one spatial axis or more", weight.shape)
    return f"conv{weight.ndim - 2}d"
