"""Convolution in one, two and three dimensions: against loops, torch, finite differences and hand-made numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings

from pylayers.backends.reference import conv as conv_module

Case = tuple[np.ndarray, np.ndarray, np.ndarray, tuple]


def naive(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, geometry: tuple) -> np.ndarray:
    """Cross-correlation by its definition, one product at a time."""
    stride, padding, dilation, groups = geometry
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    kernel = weight.shape[2:]
    out = [
        (size - d * (r - 1) - 1) // s + 1
        for size, r, s, d in zip(padded.shape[2:], kernel, stride, dilation, strict=True)
    ]
    n, k, own = x.shape[0], weight.shape[0], weight.shape[1]
    y = np.zeros((n, k, *out))
    for position in np.ndindex(*y.shape):
        image, channel, *p = position
        first = channel // (k // groups) * own
        for c, *r in np.ndindex(own, *kernel):
            at = tuple(pi * s + ri * d for pi, s, ri, d in zip(p, stride, r, dilation, strict=True))
            y[position] += padded[(image, first + c, *at)] * weight[(channel, c, *r)]
        y[position] += 0 if bias is None else bias[channel]
    return y


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """x, weight, bias and (stride, padding, dilation, groups) of small convolutions in 1 to 3 dimensions."""
    d = draw(st.integers(1, 3))
    small = st.integers(1, 3)
    groups = draw(st.integers(1, 3))
    kernel, stride, dilation = (tuple(draw(small) for _ in range(d)) for _ in range(3))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(d))
    size = [
        max(1, (r - 1) * t + 1 - sum(p)) + draw(st.integers(0, 3))
        for r, t, p in zip(kernel, dilation, padding, strict=True)
    ]
    own, k, n = draw(st.integers(1, 3)), groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, weight = rng.standard_normal((n, groups * own, *size)), rng.standard_normal((k, own, *kernel))
    return x, weight, rng.standard_normal(k), (stride, padding, dilation, groups)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1, 64, 1 << 20]), st.sampled_from([1, 256]))
def test_all_three_equal_loops_for_any_shape_and_strides(case: Case, most: int, many: int) -> None:
    x, weight, bias, geometry = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_module, "MOST", most)  # parts of one image, of a few, of all
        patch.setattr(conv_module, "MANY_WINDOWS", many)  # a product for each image, or one for all of a part
        check_against_loops(x, weight, bias, geometry)


def check_against_loops(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, geometry: tuple) -> None:
    want = naive(x, weight, bias, geometry)
    dy = np.random.default_rng(0).standard_normal(want.shape)
    # The operation is linear in x and in weight, so its gradients are the adjoints: <dy, f(x)> = <f*(dy), x>.
    dx = reference.conv_input_gradient(dy, weight, x.shape, *geometry)
    dweight = reference.conv_weight_gradient(dy, x, weight.shape, *geometry)
    for name, z in stridings(x):
        y = reference.conv_forward(z, weight, bias, *geometry)
        assert_near(y, want, 1e-12)
        if name == "channels last" and x.shape[1] > 1 and weight.shape[0] > 1 and max(x.shape[2:]) > 1:
            assert np.moveaxis(y, 1, -1).flags.c_contiguous
        for _, g in stridings(dy):
            assert_near(reference.conv_weight_gradient(g, z, weight.shape, *geometry), dweight, 1e-12)
    for _, w in stridings(weight):
        assert_near(reference.conv_forward(x, w, None, *geometry), naive(x, weight, None, geometry), 1e-12)
        for _, g in stridings(dy):
            assert_near(reference.conv_input_gradient(g, w, x.shape, *geometry), dx, 1e-12)
    direction, wdirection = (
        np.cos(np.arange(x.size)).reshape(x.shape),
        np.sin(np.arange(weight.size)).reshape(weight.shape),
    )
    assert_near((dx * direction).sum(), (dy * naive(direction, weight, None, geometry)).sum(), 1e-11)
    assert_near((dweight * wdirection).sum(), (dy * naive(x, wdirection, None, geometry)).sum(), 1e-11)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_live_against_torch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, weight, bias, (stride, padding, dilation, groups) = case
    tx, tw, tb = (torch.tensor(v, requires_grad=True) for v in (x, weight, bias))
    padded = functional.pad(tx, list(itertools.chain(*reversed(padding))))
    call = (functional.conv1d, functional.conv2d, functional.conv3d)[len(stride) - 1]
    y = call(padded, tw, tb, stride, 0, dilation, groups)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    geometry = stride, padding, dilation, groups
    assert_near(reference.conv_forward(x, weight, bias, *geometry), y.detach().numpy())
    assert_near(reference.conv_input_gradient(dy, weight, x.shape, *geometry), tx.grad.numpy())
    assert_near(reference.conv_weight_gradient(dy, x, weight.shape, *geometry), tw.grad.numpy())
    assert_near(reference.column_sum(dy.reshape(*dy.shape[:2], -1)), tb.grad.numpy())


GEOMETRY = (2, 1), ((1, 2), (0, 1)), (1, 2), 2


def test_gradients_equal_finite_differences() -> None:
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((2, 4, 4, 5)), rng.standard_normal((4, 2, 3, 2))
    dy = rng.standard_normal(reference.conv_forward(x, weight, None, *GEOMETRY).shape)
    dx = numeric_gradient(lambda v: reference.conv_forward(v, weight, None, *GEOMETRY), x, dy)
    dweight = numeric_gradient(lambda v: reference.conv_forward(x, v, None, *GEOMETRY), weight, dy)
    assert_near(reference.conv_input_gradient(dy, weight, x.shape, *GEOMETRY), dx, 1e-8)
    assert_near(reference.conv_weight_gradient(dy, x, weight.shape, *GEOMETRY), dweight, 1e-8)


def test_golden() -> None:
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 0], [0, 10]]]])
    plain = (1, 1), ((0, 0), (0, 0)), (1, 1), 1
    np.testing.assert_array_equal(
        reference.conv_forward(x, weight, np.array([-60.0]), *plain, "relu"), [[[[0, 2], [24, 35]]]]
    )
    dy = np.array([[[[1.0, 2], [3, 4]]]])
    np.testing.assert_array_equal(
        reference.conv_input_gradient(dy, weight, x.shape, *plain), [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]]
    )
    np.testing.assert_array_equal(reference.conv_weight_gradient(dy, x, weight.shape, *plain), [[[[37, 47], [67, 77]]]])


@pytest.mark.parametrize("stride0", ["scalar", "row", "images"])
def test_broadcast_gradients(stride0: str) -> None:
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((2, 4, 4, 5)), rng.standard_normal((4, 2, 3, 2))
    shape = reference.conv_forward(x, weight, None, *GEOMETRY).shape
    source = {"scalar": (), "row": shape[-1:], "images": shape[1:]}[stride0]
    dy = np.broadcast_to(rng.standard_normal(source), shape)
    for operation, arguments in (
        (reference.conv_input_gradient, (weight, x.shape)),
        (reference.conv_weight_gradient, (x, weight.shape)),
    ):
        assert_near(operation(dy, *arguments, *GEOMETRY), operation(dy.copy(), *arguments, *GEOMETRY), 1e-13)


@pytest.mark.parametrize(
    "x_shape, w_shape", [((0, 2, 4), (3, 2, 2)), ((2, 0, 4), (3, 0, 2)), ((2, 2, 4), (0, 2, 2)), ((2, 2, 1), (3, 2, 2))]
)
def test_empty_dimensions(x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> None:
    plain = (1,), ((0, 0),), (1,), 1
    bias = np.arange(w_shape[0], dtype=float)
    y = reference.conv_forward(np.ones(x_shape), np.ones(w_shape), bias, *plain)
    out = x_shape[2] - w_shape[2] + 1
    assert y.shape == (x_shape[0], w_shape[0], out)
    np.testing.assert_array_equal(y, np.broadcast_to(bias[:, None] + 2 * x_shape[1], y.shape))
    np.testing.assert_array_equal(reference.conv_weight_gradient(y, np.ones(x_shape), w_shape, *plain).shape, w_shape)
    if y.size == 0 or x_shape[1] == 0:
        assert not reference.conv_input_gradient(y, np.ones(w_shape), x_shape, *plain).any()
        assert not reference.conv_weight_gradient(y, np.ones(x_shape), w_shape, *plain).any()


@pytest.mark.parametrize("last", [False, True])
def test_float32_large_planes_and_exact_integers(last: bool) -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(-4, 5, (3, 2, 20, 21)).astype(np.float32)
    weight = rng.integers(-4, 5, (4, 2, 3, 3)).astype(np.float32)
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    z = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last else x
    y = reference.conv_forward(z, weight, None, *geometry)
    assert y.dtype == np.float32 and np.moveaxis(y, 1, -1).flags.c_contiguous == last
    wide = reference.conv_forward(x.astype(np.float64), weight.astype(np.float64), None, *geometry)
    np.testing.assert_array_equal(y, wide)
    dy = np.where(rng.random(y.shape) < 0.5, y, -y)
    dx, dweight = (
        reference.conv_input_gradient(dy, weight, x.shape, *geometry),
        reference.conv_weight_gradient(dy, z, weight.shape, *geometry),
    )
    wide_dy = dy.astype(np.float64)
    np.testing.assert_array_equal(dx, reference.conv_input_gradient(wide_dy, weight.astype(float), x.shape, *geometry))
    np.testing.assert_array_equal(
        dweight, reference.conv_weight_gradient(wide_dy, x.astype(float), weight.shape, *geometry)
    )


def test_bfloat16_rounds_once() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(5)
    x, weight, bias = (rng.standard_normal(s).astype(ml_dtypes.bfloat16) for s in ((2, 3, 6), (4, 3, 3), (4,)))
    geometry = (1,), ((1, 1),), (1,), 1
    got = reference.conv_forward(x, weight, bias, *geometry, "relu")
    want = reference.conv_forward(*(v.astype(np.float32) for v in (x, weight, bias)), *geometry, "relu")
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, want.astype(x.dtype))
