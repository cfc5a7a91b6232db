"""Convolution in its three directions: exact on integers for any geometry and strides, within the bound on reals."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_within, product_bound, reference, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, in_turns
from subject import Subject

from pylayers import arrays

VARIANTS = ["simt_128x128x8", "simt_64x64x16", "simt_32x32x32"]
# x, weight, stride, padding, dilation, groups
GEOMETRIES = {
    "plain": ((2, 3, 8, 9), (4, 3, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "padded": ((2, 3, 8, 9), (40, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "strided": ((1, 2, 9, 10), (3, 2, 3, 2), (2, 3), ((1, 0), (0, 2)), (1, 1), 1),
    "dilated": ((2, 2, 11, 10), (3, 2, 3, 3), (1, 2), ((2, 2), (3, 1)), (2, 3), 1),
    "grouped": ((2, 6, 7, 7), (8, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),
    "depthwise": ((2, 5, 7, 7), (10, 1, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 5),
    "one_by_one": ((3, 17, 5, 5), (33, 17, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "skips_pixels": ((2, 3, 9, 9), (4, 3, 1, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "whole_image": ((2, 3, 4, 5), (6, 3, 4, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "line": ((2, 3, 20), (4, 3, 5), (2,), ((2, 1),), (2,), 1),
    "no_images": ((0, 3, 8, 9), (4, 3, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "no_channels": ((2, 0, 8, 9), (4, 0, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
}


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float32)


def draw(geometry, rng):
    x_shape, weight_shape, *how = geometry
    x, weight = integers(rng, x_shape), integers(rng, weight_shape)
    bias = integers(rng, weight_shape[:1])
    dy = integers(rng, reference.conv_forward(x, weight, None, *how).shape)
    return x, weight, bias, dy, how


def check(on: Subject, x, weight, bias, dy, how, **variant: str) -> None:
    """All three directions equal the float64 reference on integers."""
    got = on("conv_forward", x, weight, bias, *how, None, **variant)
    np.testing.assert_array_equal(got, truth("conv_forward", x, weight, bias, *how))
    got = on("conv_input_gradient", dy, weight, x.shape, *how, **variant)
    np.testing.assert_array_equal(got, truth("conv_input_gradient", dy, weight, x.shape, *how))
    got = on("conv_weight_gradient", dy, x, weight.shape, *how, **variant)
    np.testing.assert_array_equal(got, truth("conv_weight_gradient", dy, x, weight.shape, *how))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_geometry_is_exact_on_integers(on: Subject, name: str) -> None:
    check(on, *draw(GEOMETRIES[name], np.random.default_rng(1)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["padded", "strided", "grouped"])
def test_every_variant(kernels: Subject, name: str, variant: str) -> None:
    check(kernels, *draw(GEOMETRIES[name], np.random.default_rng(2)), variant=variant)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["padded", "strided", "grouped"])
def test_strides(on: Subject, name: str, layout: str) -> None:
    x, weight, bias, dy, how = draw(GEOMETRIES[name], np.random.default_rng(3))
    change = LAYOUTS[layout]
    check(on, change(x), change(weight), change(bias), change(dy), how)


@pytest.mark.parametrize("first", LAYOUTS)
def test_arrays_that_lie_differently(on: Subject, first: str) -> None:
    x, weight, bias, dy, how = draw(GEOMETRIES["strided"], np.random.default_rng(10))
    check(on, *map(in_turns(first), (x, weight, bias, dy)), how)


def test_broadcast_cotangent(on: Subject) -> None:
    x, weight, bias, dy, how = draw(GEOMETRIES["padded"], np.random.default_rng(4))
    check(on, x, weight, bias, np.broadcast_to(np.float32(2), dy.shape), how)


def test_memory_order_is_kept(on: Subject) -> None:
    x, weight, bias, _, how = draw(GEOMETRIES["padded"], np.random.default_rng(5))
    y = on.backend.conv_forward(on.place(LAYOUTS["channels_last"](x)), on.place(weight), on.place(bias), *how)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    dx = on.backend.conv_input_gradient(y, on.place(weight), x.shape, *how)
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("name", ["padded", "strided", "dilated"])
def test_bound_on_reals(on: Subject, name: str) -> None:
    rng = np.random.default_rng(6)
    x_shape, weight_shape, *how = GEOMETRIES[name]
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, weight_shape))
    want = truth("conv_forward", x, weight, None, *how)
    dy = rng.standard_normal(want.shape).astype(np.float32)
    for op, a, b, shape, k in [
        ("conv_forward", x, weight, None, weight[0].size),
        ("conv_input_gradient", dy, weight, x_shape, weight[:, 0].size),
        ("conv_weight_gradient", dy, x, weight_shape, dy[:, 0].size),
    ]:
        want = truth(op, a, b, shape, *how)
        squares = truth(op, a.astype(np.float64) ** 2, b.astype(np.float64) ** 2, shape, *how)
        assert_within(on(op, a, b, shape, *how), want, product_bound(want, squares, k), op)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_random_geometry(data: st.DataObject) -> None:
    def some(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = some(1, 3)
    kernel, stride, dilation = ((some(1, 3), some(1, 3)) for _ in range(3))
    padding = tuple((some(0, 2), some(0, 2)) for _ in range(2))
    spans = [d * (r - 1) + 1 - sum(p) for r, d, p in zip(kernel, dilation, padding, strict=True)]
    spatial = tuple(max(1, span) + some(0, 6) for span in spans)
    channels = some(1, 3)
    x_shape, weight_shape = (some(1, 3), groups * channels, *spatial), (groups * some(1, 20), channels, *kernel)
    geometry = x_shape, weight_shape, stride, padding, dilation, groups
    check(Subject("emulated"), *draw(geometry, np.random.default_rng(7)))


def test_schedules(scheduled: Subject) -> None:
    for name in ["padded", "grouped"]:
        check(scheduled, *draw(GEOMETRIES[name], np.random.default_rng(8)))


def test_weight_gradient_in_splits_is_exact_and_repeats_bit_for_bit(on: Subject) -> None:
    rng = np.random.default_rng(9)
    how = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    for images, height, width in [(3, 40, 40), (1, 35, 31)]:  # 4,800 pixels, 1,085: a last split is shorter
        x, dy = integers(rng, (images, 2, height, width)), integers(rng, (images, 4, height, width))
        want = truth("conv_weight_gradient", dy, x, (4, 2, 3, 3), *how)
        np.testing.assert_array_equal(on("conv_weight_gradient", dy, x, (4, 2, 3, 3), *how), want)
    dy = rng.standard_normal(dy.shape).astype(np.float32)
    first = on("conv_weight_gradient", dy, x, (4, 2, 3, 3), *how)
    assert first.tobytes() == on("conv_weight_gradient", dy, x, (4, 2, 3, 3), *how).tobytes()


def test_images_whose_rows_32_bits_cannot_count(kernels: Subject) -> None:
    """3 2^30 + 1 rows, all in the same memory, read at every 2^30-th of them: by the stride, and by the dilation."""
    pixel = kernels.place(np.full((1, 1, 1, 1), 3, np.float32))
    x = arrays.namespace(pixel).broadcast_to(pixel, (1, 1, 3 * 2**30 + 1, 1))
    apart, one, padding = (2**30, 1), (1, 1), ((0, 0), (0, 0))
    weight, taps = np.float32([2]).reshape(1, 1, 1, 1), np.float32([1, 2, 3, 4]).reshape(1, 1, 4, 1)
    backend = kernels.backend
    y = backend.conv_forward(x, kernels.place(weight), None, apart, padding, one, 1)
    np.testing.assert_array_equal(kernels.take(y), np.full((1, 1, 4, 1), 6))
    slope = backend.conv_weight_gradient(kernels.place(taps), x, weight.shape, apart, padding, one, 1)
    np.testing.assert_array_equal(kernels.take(slope), [[[[30]]]])
    y = backend.conv_forward(x, kernels.place(taps), None, one, padding, apart, 1)
    np.testing.assert_array_equal(kernels.take(y), [[[[30]]]])


def test_kernels_refuse_three_dimensions(kernels: Subject) -> None:
    x, weight = np.zeros((1, 1, 3, 3, 3), np.float32), np.zeros((1, 1, 1, 1, 1), np.float32)
    how = (1, 1, 1), ((0, 0),) * 3, (1, 1, 1), 1
    with pytest.raises(NotImplementedError, match="conv_forward: expected one or two spatial dimensions, got 3"):
        kernels("conv_forward", x, weight, None, *how)
