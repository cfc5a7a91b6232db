"""The spatial sizes of results, and the dtypes that layers compute in."""

from __future__ import annotations

from pylayers import dtypes
from pylayers.backends.contract import Pads, Sizes

FLOAT8 = frozenset((dtypes.float8_e4m3fn, dtypes.float8_e5m2))
FLOATING = dtypes.FLOATING - FLOAT8  # what layers compute in; in native byte order


def convolved(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> Sizes:
    """The spatial sizes of a convolution's result: (size + padding - dilation (kernel - 1) - 1) // stride + 1."""
    return tuple(
        (s + sum(p) - d * (r - 1) - 1) // t + 1
        for s, r, t, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
