"""Where the taps of sliding windows fall, in any number of dimensions: the arithmetic of convolution and pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from pylayers.backends.contract import Pads, Sizes
from pylayers.backends.sizes import convolved


class Axis(NamedTuple):
    """Windows along one spatial axis: tap r of window p reads x[p * stride + r * dilation - padding]."""

    size: int
    kernel: int
    out: int
    stride: int
    padding: int  # before the first element
    dilation: int

    def tap(self, r: int) -> tuple[slice, slice]:
        """The windows whose tap r lies inside x, and the elements that they read there."""
        shift = r * self.dilation - self.padding
        first = max(0, -(shift // self.stride))
        last = min(self.out, (self.size - 1 - shift) // self.stride + 1)
        if last <= first:
            return slice(0, 0), slice(0, 0)
        start = first * self.stride + shift
        return slice(first, last), slice(start, start + (last - first - 1) * self.stride + 1, self.stride)

    @property
    def extent(self) -> int:
        """From the first tap of the first window to the last tap of the last."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1

    @property
    def inside(self) -> bool:
        """Whether no window reaches into padding."""
        return self.padding == 0 and self.extent <= self.size

    @property
    def disjoint(self) -> bool:
        """Whether no element is read by two windows."""
        return self.stride > (self.kernel - 1) * self.dilation

    @property
    def tiles(self) -> bool:
        """Whether every element is read by exactly one window."""
        return self.padding == 0 and self.dilation == 1 and self.stride == self.kernel and self.extent == self.size


def axes(size: Sizes, kernel: Sizes, out: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> tuple[Axis, ...]:
    """One `Axis` for each spatial dimension."""
    return tuple(itertools.starmap(Axis, zip(size, kernel, out, stride, padding, dilation, strict=True)))


def convolution_axes(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pads, dilation: Sizes) -> tuple[Axis, ...]:
    """The axes of a convolution."""
    out = convolved(size, kernel, stride, padding, dilation)
    return axes(size, kernel, out, stride, tuple(before for before, _ in padding), dilation)


def taps(windows: tuple[Axis, ...]) -> Iterator[tuple[Sizes, tuple[slice, ...], tuple[slice, ...]]]:
    """Every tap in row-major order, with its slices of the windows and of x."""
    for position in itertools.product(*(range(axis.kernel) for axis in windows)):
        pairs = [axis.tap(r) for axis, r in zip(windows, position, strict=True)]
        yield position, tuple(out for out, _ in pairs), tuple(source for _, source in pairs)
