"""Sizes of results that every backend allocates by the same rule."""

from __future__ import annotations

from pylayers.backends.protocol import Pads, Sizes


def convolved(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """The spatial sizes of a convolution's result: (size + padding - dilation (kernel - 1) - 1) // stride + 1."""
    return tuple(
        (s + sum(p) - d * (r - 1) - 1) // t + 1
        for s, r, t, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
