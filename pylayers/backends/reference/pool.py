"""Maximum and average over sliding windows, one spatial axis after another, last axis first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array, Sizes
from pylayers.backends.reference.parallel import parts, run
from pylayers.backends.reference.precision import keep, operation
from pylayers.backends.reference.windows import Axis, axes, taps

PART = 1 << 18  # elements of the larger image at a time: 1 MiB, to stay in cache at few calls


def padded(x: Array, windows: tuple[Axis, ...], value: float) -> Array:
    """x as far as windows read it, with `value` where they read padding; x itself if they read none."""
    if all(window.inside for window in windows):
        return x
    y = arrays.empty_like(x, (*x.shape[:2], *(window.extent for window in windows)))
    y.fill(value)
    source, target = interior(windows)
    y[target] = x[source]
    return y


def interior(windows: tuple[Axis, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part of an image that windows read, and where it lies in the padded image."""
    sizes = [max(0, min(w.size, w.extent - w.padding)) for w in windows]
    source = tuple(slice(0, size) for size in sizes)
    target = tuple(slice(w.padding, w.padding + size) for w, size in zip(windows, sizes, strict=True))
    return (slice(None), slice(None), *source), (slice(None), slice(None), *target)


def reads(axis: int, window: Axis, r: int) -> tuple[slice, ...]:
    """Index of what tap r of every window along `axis` reads of a padded image."""
    first = r * window.dilation
    return *[slice(None)] * axis, slice(first, first + (window.out - 1) * window.stride + 1, window.stride)


def plane_strides(windows: tuple[Axis, ...]) -> list[int]:
    """The distance of neighbours along each axis in a flattened plane."""
    return [math.prod(w.size for w in windows[axis + 1 :]) for axis in range(len(windows))]


def linear(starts: list[Array], windows: tuple[Axis, ...]) -> Array:
    """Positions along each axis (P,) -> positions in the flattened plane (*P)."""
    return sum(start * stride for start, stride in zip(np.ix_(*starts), plane_strides(windows), strict=True))


def origins(y: Array, windows: tuple[Axis, ...]) -> Array:
    """Where tap 0 of each window of y (N, C, *P) lies in its flattened plane, for one image, stored in y's order."""
    origin = arrays.empty_like(y[:1], dtype=np.int64)
    origin[...] = linear([np.arange(w.out) * w.stride - w.padding for w in windows], windows)
    return origin


def maxima(x: Array, windows: tuple[Axis, ...], nan: bool) -> tuple[Array, Array]:
    """The maxima of a padded image and their distance from the window's first tap in the plane.

    With `nan` a NaN is chosen over what came before it; without, its value still spreads but its place is lost.
    """
    steps = [w.dilation * stride for w, stride in zip(windows, plane_strides(windows), strict=True)]
    small = np.min_scalar_type(sum((w.kernel - 1) * step for w, step in zip(windows, steps, strict=True))).type
    distance: Array = small(0)  # a number as long as it is the same everywhere
    for axis in range(len(windows) + 1, 1, -1):
        window, step = windows[axis - 2], steps[axis - 2]
        places = [reads(axis, window, r) for r in range(window.kernel)]
        held, best = x[places[0]], None
        chosen, *others = [distance[place] if distance.ndim else distance for place in places]
        for r, its in enumerate(others, start=1):
            value = x[places[r]]
            wins = value > held
            if nan:
                wins |= value != value
            best = held = np.maximum(held, value, out=best)
            # Unsigned arithmetic wraps around: this selects without a branch for each element.
            chosen = chosen + (its + small(r * step) - chosen) * wins
        x, distance = held, chosen
    return x, distance


@operation()
def max_pool_forward(
    x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes
) -> tuple[Array, Array]:
    """As `contract.Backend.max_pool_forward`; a window that lies in padding alone gives -inf and index -1."""
    windows = axes(x.shape[2:], kernel, out, stride, padding, dilation)
    y = arrays.empty_like(x, (*x.shape[:2], *out))
    indices = arrays.empty_like(y, dtype=np.int64)
    origin = origins(y, windows)

    def work(images: slice) -> None:
        part = padded(x[images], windows, -np.inf)
        best, distance = maxima(part, windows, nan=False)
        if (best != best).any():
            best, distance = maxima(part, windows, nan=True)
        y[images] = best
        indices[images] = distance
        indices[images] += origin

    run(work, parts(x.shape[0], math.prod(x.shape[1:]), PART))
    if not all(window.inside for window in windows):
        # Padding is -inf too: where all of a window is, torch's index is that of the first tap inside.
        starts = [np.arange(w.out) * w.stride - w.padding for w in windows]
        starts = [s + np.maximum(0, -(s // w.dilation)) * w.dilation for s, w in zip(starts, windows, strict=True)]
        nowhere = -math.prod(x.shape[2:])
        starts = [np.where(s < w.size, s, nowhere) for s, w in zip(starts, windows, strict=True)]
        first = np.maximum(linear(starts, windows), -1)
        np.copyto(indices, first, where=y == -np.inf)
    return y, indices


def scatter(dy: Array, indices: Array, dx: Array) -> None:
    """dx (N, C, *S), C-contiguous, = dy (N, C, *P) at `indices` of its planes, each found once, and 0 elsewhere."""
    plane = math.prod(dx.shape[2:])
    start = (np.arange(dx.shape[1]) * plane).reshape(-1, *[1] * (dx.ndim - 2))

    def work(images: slice) -> None:
        dx[images].fill(0)
        for image, index, values in zip(dx[images], indices[images], dy[images], strict=True):
            image.reshape(-1)[index + start] = values

    run(work, parts(dx.shape[0], math.prod(dx.shape[1:]), PART))


@operation()
def max_pool_backward(
    dy: Array, indices: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """As `contract.Backend.max_pool_backward`: by index, or for each tap the windows whose maximum it was."""
    windows = axes(x_shape[2:], kernel, dy.shape[2:], stride, padding, dilation)
    strides = plane_strides(windows)
    disjoint = all(window.disjoint for window in windows)
    dx = arrays.empty_like(dy, x_shape)
    if disjoint and dx.flags.c_contiguous and all(window.padding == 0 for window in windows):
        scatter(dy, indices, dx)
        return dx
    origin = origins(dy, windows)

    def work(images: slice) -> None:
        target, part = dx[images], dy[images]
        if not all(window.tiles for window in windows):
            target.fill(0)
        distance = np.subtract(indices[images], origin, dtype=np.int32, casting="unsafe")
        for tap, out, source in taps(windows):
            step = sum(r * w.dilation * s for r, w, s in zip(tap, windows, strides, strict=True))
            hit = distance[(..., *out)] == step
            if disjoint:
                keep(part[(..., *out)], hit, target[(..., *source)])
            else:
                target[(..., *source)] += keep(part[(..., *out)], hit)

    run(work, parts(x_shape[0], math.prod(x_shape[1:]), PART))
    return dx


def window_counts(windows: tuple[Axis, ...], count_padding: bool, dtype: Any) -> Array:
    """What the sum over each window is divided by (*P): its elements, with the padding asked for or without."""
    counts = []
    for w in windows:
        start = np.arange(w.out) * w.stride - w.padding
        end = np.minimum(start + w.kernel, w.size + w.padding)  # not what rounding up the output added behind
        counts.append(end - start if count_padding else np.minimum(end, w.size) - np.maximum(start, 0))
    return np.asarray(math.prod(np.ix_(*counts)), dtype)


@operation()
def average_pool_forward(
    x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, out: Sizes, count_padding: bool
) -> Array:
    """As `contract.Backend.average_pool_forward`."""
    windows = axes(x.shape[2:], kernel, out, stride, padding, (1,) * len(kernel))
    y = arrays.empty_like(x, (*x.shape[:2], *out))
    counts = window_counts(windows, count_padding, y.dtype)

    def work(images: slice) -> None:
        total = padded(x[images], windows, 0)
        for axis in range(len(windows) + 1, 1, -1):
            window = windows[axis - 2]
            held = total[reads(axis, window, 0)].copy()
            for r in range(1, window.kernel):
                held += total[reads(axis, window, r)]
            total = held
        np.divide(total, counts, out=y[images])

    run(work, parts(x.shape[0], math.prod(x.shape[1:]), PART))
    return y


@operation()
def average_pool_backward(
    dy: Array, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, count_padding: bool
) -> Array:
    """As `contract.Backend.average_pool_backward`."""
    windows = axes(x_shape[2:], kernel, dy.shape[2:], stride, padding, (1,) * len(kernel))
    dx = arrays.empty_like(dy, x_shape)
    dx.fill(0)
    counts = window_counts(windows, count_padding, dy.dtype)
    source, target = interior(windows)

    def work(images: slice) -> None:
        spread = dy[images] / counts
        for axis, window in enumerate(windows, start=2):
            wide = arrays.empty_like(spread, (*spread.shape[:axis], window.extent, *spread.shape[axis + 1 :]))
            wide.fill(0)
            for r in range(window.kernel):
                wide[reads(axis, window, r)] += spread
            spread = wide
        dx[images][source] = spread[target]

    run(work, parts(x_shape[0], math.prod(x_shape[1:]), PART))
    return dx
