"""Max and average pooling of any number of spatial dimensions, and their gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pylayers import backends
from pylayers.backends.contract import Sizes
from pylayers.errors import expected
from pylayers.operations import checks

Array = Any


@dataclass(frozen=True)
class Window:
    """A pooling window, one entry for each spatial dimension, and the size of the result."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    out: Sizes


def window(
    op: str,
    x: Array,
    kernel: object,
    stride: object = None,
    padding: object = 0,
    dilation: object = 1,
    ceil_mode: bool = False,
) -> Window:
    """The checked window for x (N, C, *S); stride None means the kernel's size.

    out = (S + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down, or up with `ceil_mode`, where a last
    window that would start in the padding after the input is left out (torch.nn.MaxPool2d).
    """
    checks.floating(op, "x", x)
    rank = x.ndim - 2
    if rank < 1:
        raise expected(op, "x", "shape (N, C, *S)", x.shape)
    sizes = checks.sizes(op, "kernel_size", kernel, rank, 1)
    steps = sizes if stride is None else checks.sizes(op, "stride", stride, rank, 1)
    pads = checks.sizes(op, "padding", padding, rank, 0)
    spread = checks.sizes(op, "dilation", dilation, rank, 1)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(sizes, spread))
    if any(2 * p > r for p, r in zip(pads, reach)):
        raise expected(op, "padding", f"at most half of the window {reach}", pads)
    out = []
    for s, r, step, p in zip(x.shape[2:], reach, steps, pads):
        room = s + 2 * p - r
        count = (room + (step - 1 if ceil_mode else 0)) // step + 1
        if ceil_mode and (count - 1) * step >= s + p:
            count -= 1
        if room < 0 or count < 1:
            padded = tuple(s + 2 * p for s, p in zip(x.shape[2:], pads))
            raise expected(op, "kernel_size", f"a window no larger than the padded input {padded}", reach)
        out.append(count)
    return Window(sizes, steps, pads, spread, tuple(out))


def max_pool(x: Array, how: Window) -> tuple[Array, Array]:
    """x (N, C, *S) -> y (N, C, *out) and int64 indices (N, C, *out) into each flattened plane of x."""
    return backends.of("max_pool", x).max_pool_forward(x, how.kernel, how.stride, how.padding, how.dilation, how.out)


def max_pool_backward(dy: Array, indices: Array, x_shape: Sizes, how: Window) -> Array:
    """dy (N, C, *out) -> dx of x_shape: each dy where its maximum stood."""
    backend = backends.of("max_pool", dy, indices)
    return backend.max_pool_backward(dy, indices, x_shape, how.kernel, how.stride, how.padding, how.dilation)


def average_pool(x: Array, how: Window, count_padding: bool = True) -> Array:
    """x (N, C, *S) -> the mean over each window (N, C, *out), padding counted as zeros or left out."""
    backend = backends.of("average_pool", x)
    return backend.average_pool_forward(x, how.kernel, how.stride, how.padding, how.out, count_padding)


def average_pool_backward(dy: Array, x_shape: Sizes, how: Window, count_padding: bool = True) -> Array:
    """dy (N, C, *out) -> dx of x_shape."""
    backend = backends.of("average_pool", dy)
    return backend.average_pool_backward(dy, x_shape, how.kernel, how.stride, how.padding, count_padding)
