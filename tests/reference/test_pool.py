"""Pooling in one, two and three dimensions: against loops, torch, finite differences and hand-made numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings

from pylayers.backends.reference import pool as pool_module

Geometry = tuple[tuple[int, ...], ...]  # kernel, stride, padding, dilation, out


def naive_max(x: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """torch's loop: the first tap inside starts, a greater value or a NaN replaces."""
    kernel, stride, padding, dilation, out = geometry
    y, indices = np.empty((*x.shape[:2], *out)), np.empty((*x.shape[:2], *out), np.int64)
    for n, c, *p in np.ndindex(*y.shape):
        best, where = -np.inf, None
        for r in itertools.product(*map(range, kernel)):
            at = tuple(pi * s - q + ri * d for pi, s, q, ri, d in zip(p, stride, padding, r, dilation, strict=True))
            if any(a < 0 or a >= size for a, size in zip(at, x.shape[2:], strict=True)):
                continue
            value = x[(n, c, *at)]
            if where is None or value > best or value != value:
                best, where = value, np.ravel_multi_index(at, x.shape[2:])
        y[(n, c, *p)], indices[(n, c, *p)] = best, -1 if where is None else where
    return y, indices


def naive_average(x: np.ndarray, geometry: Geometry, count_padding: bool) -> np.ndarray:
    """Means of slices."""
    kernel, stride, padding, _, out = geometry
    y = np.empty((*x.shape[:2], *out))
    for p in np.ndindex(*out):
        start = [pi * s - q for pi, s, q in zip(p, stride, padding, strict=True)]
        end = [min(b + r, size + q) for b, r, size, q in zip(start, kernel, x.shape[2:], padding, strict=True)]
        inside = tuple(slice(max(0, b), min(e, size)) for b, e, size in zip(start, end, x.shape[2:], strict=True))
        window = x[(..., *inside)]
        count = np.prod([e - b for b, e in zip(start, end, strict=True)]) if count_padding else window[0, 0].size
        y[(..., *p)] = window.reshape(*x.shape[:2], -1).sum(-1) / count
    return y


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Geometry]:
    """x with many ties and (kernel, stride, padding, dilation, out) of small poolings in 1 to 3 dimensions."""
    d = draw(st.integers(1, 3))
    kernel, stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(d)) for _ in range(3))
    padding = tuple(draw(st.integers(0, r // 2)) for r in kernel)
    size = tuple(
        max(1, (r - 1) * t + 1 - 2 * p) + draw(st.integers(0, 4))
        for r, t, p in zip(kernel, dilation, padding, strict=True)
    )
    if draw(st.booleans()):
        stride = kernel
    up = draw(st.booleans())
    out = []
    for s, r, t, p, spread in zip(size, kernel, stride, padding, dilation, strict=True):
        room = s + 2 * p - spread * (r - 1) - 1
        count = room // t + 1
        if up and room % t and count * t < s + p:  # torch: the last window starts inside the image or its left padding
            count += 1
        out.append(count)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(-2, 3, (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *size)).astype(np.float64)
    return x, (kernel, stride, padding, dilation, tuple(out))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([0.0, 0.2]), st.sampled_from([1, 1 << 16]))
def test_max_equals_loops_for_any_shape_and_strides(case: tuple, special: float, most: int) -> None:
    x, geometry = case
    rng = np.random.default_rng(0)
    x[rng.random(x.shape) < special] = np.nan
    x[rng.random(x.shape) < 2 * special] = -np.inf
    y, indices = naive_max(x, geometry)
    dy = rng.standard_normal(y.shape)
    dx = np.zeros((*x.shape[:2], int(np.prod(x.shape[2:]))))
    for n, c, *p in np.ndindex(*y.shape):
        if indices[(n, c, *p)] >= 0:
            dx[n, c, indices[(n, c, *p)]] += dy[(n, c, *p)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "PART", most)
        for name, z in stridings(x):
            got, places = reference.max_pool_forward(z, *geometry)
            np.testing.assert_array_equal(got, y)
            np.testing.assert_array_equal(places, indices)
            assert places.dtype == np.int64
            if name == "channels last" and x.shape[1] > 1 and max(y.shape[2:]) > 1:
                assert np.moveaxis(got, 1, -1).flags.c_contiguous
            for _, g in stridings(dy):
                assert_near(reference.max_pool_backward(g, places, x.shape, *geometry[:4]), dx.reshape(x.shape), 1e-13)


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans(), st.sampled_from([1, 1 << 16]))
def test_average_equals_loops_for_any_shape_and_strides(case: tuple, count_padding: bool, most: int) -> None:
    x, (kernel, stride, padding, dilation, out) = case
    size = [s + (r - 1) * (t - 1) for s, r, t in zip(x.shape[2:], kernel, dilation, strict=True)]
    x = np.random.default_rng(1).standard_normal((*x.shape[:2], *size))
    out = tuple((s + 2 * p - r) // t + 1 for s, r, t, p in zip(size, kernel, stride, padding, strict=True))
    want = naive_average(x, (kernel, stride, padding, dilation, out), count_padding)
    dy = np.random.default_rng(2).standard_normal(want.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "PART", most)
        for _, z in stridings(x):
            assert_near(reference.average_pool_forward(z, kernel, stride, padding, out, count_padding), want, 1e-13)
        dx = reference.average_pool_backward(dy, x.shape, kernel, stride, padding, count_padding)
        for _, g in stridings(dy):
            assert_near(reference.average_pool_backward(g, x.shape, kernel, stride, padding, count_padding), dx, 1e-13)
    direction = np.cos(np.arange(x.size)).reshape(x.shape)
    along = naive_average(direction, (kernel, stride, padding, dilation, out), count_padding)
    assert_near((dx * direction).sum(), (dy * along).sum(), 1e-11)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_max_live_against_torch(case: tuple) -> None:
    torch = pytest.importorskip("torch")
    x, (kernel, stride, padding, dilation, _) = case
    functional = torch.nn.functional
    call = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[len(kernel) - 1]
    for up in (False, True):
        t = torch.tensor(x, requires_grad=True)
        y, indices = call(t, kernel, stride, padding, dilation, ceil_mode=up, return_indices=True)
        if (naive_max(x, (kernel, stride, padding, dilation, tuple(y.shape[2:])))[1] < 0).any():
            continue  # a window in padding alone, for which torch's index points elsewhere
        dy = np.random.default_rng(3).standard_normal(y.shape)
        y.backward(torch.tensor(dy))
        got, places = reference.max_pool_forward(x, kernel, stride, padding, dilation, tuple(y.shape[2:]))
        np.testing.assert_array_equal(got, y.detach().numpy())
        np.testing.assert_array_equal(places, indices.numpy())
        dx = reference.max_pool_backward(dy, places, x.shape, kernel, stride, padding, dilation)
        assert_near(dx, t.grad.numpy(), 1e-13)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kernel, stride, padding", [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1))])
def test_nan_and_infinity_live_against_torch(kernel: tuple, stride: tuple, padding: tuple, last: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = rng.choice([np.nan, -np.inf, np.inf, 0.0, 1.0], (4, 8, 6, 6), p=[0.1, 0.6, 0.1, 0.1, 0.1]).astype(np.float32)
    t = torch.tensor(x)
    t = t.contiguous(memory_format=torch.channels_last) if last else t
    y, indices = torch.nn.functional.max_pool2d(t, kernel, stride, padding, return_indices=True)
    got, places = reference.max_pool_forward(x, kernel, stride, padding, (1, 1), tuple(y.shape[2:]))
    np.testing.assert_array_equal(got, y.numpy())
    np.testing.assert_array_equal(places, indices.numpy())


@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_average_live_against_torch(d: int, up: bool, count_padding: bool) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    call = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[d - 1]
    rng = np.random.default_rng(5)
    kernel, stride, padding = (3, 2, 3)[:d], (2, 3, 2)[:d], (1, 0, 1)[:d]
    x = rng.standard_normal((2, 3, *(6, 7, 4)[:d]))
    t = torch.tensor(x, requires_grad=True)
    y = call(t, kernel, stride, padding, up, count_padding)
    dy = rng.standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    got = reference.average_pool_forward(x, kernel, stride, padding, tuple(y.shape[2:]), count_padding)
    assert_near(got, y.detach().numpy())
    assert_near(reference.average_pool_backward(dy, x.shape, kernel, stride, padding, count_padding), t.grad.numpy())


def test_golden() -> None:
    x = np.array([[[[1.0, 5, 2, 2], [5, 0, 2, 1], [0, 0, -1, 3]]]])
    two, none, one = (2, 2), (0, 0), (1, 1)
    y, indices = reference.max_pool_forward(x, two, one, none, one, (2, 3))
    np.testing.assert_array_equal(y, [[[[5, 5, 2], [5, 2, 3]]]])
    np.testing.assert_array_equal(indices, [[[[1, 1, 2], [4, 6, 11]]]])
    dy = np.array([[[[1.0, 2, 4], [8, 16, 32]]]])
    np.testing.assert_array_equal(
        reference.max_pool_backward(dy, indices, x.shape, two, one, none, one),
        [[[[0, 3, 4, 0], [8, 0, 16, 0], [0, 0, 0, 32]]]],
    )
    np.testing.assert_array_equal(
        reference.average_pool_forward(x, two, two, (0, 1), (1, 3), False), [[[[3, 2.25, 1.5]]]]
    )
    np.testing.assert_array_equal(
        reference.average_pool_forward(x, two, two, (0, 1), (1, 3), True), [[[[1.5, 2.25, 0.75]]]]
    )


def test_gradients_equal_finite_differences() -> None:
    rng = np.random.default_rng(6)
    x = rng.permutation(60).reshape(1, 2, 6, 5).astype(np.float64)
    geometry = (3, 2), (2, 1), (1, 1), (1, 2)
    out = 3, 5
    y, indices = reference.max_pool_forward(x, *geometry, out)
    dy = rng.standard_normal(y.shape)
    want = numeric_gradient(lambda v: reference.max_pool_forward(v, *geometry, out)[0], x, dy)
    assert_near(reference.max_pool_backward(dy, indices, x.shape, *geometry), want, 1e-8)
    mean = (3, 2), (2, 1), (1, 1)
    out = 3, 6
    dy = rng.standard_normal((1, 2, *out))
    want = numeric_gradient(lambda v: reference.average_pool_forward(v, *mean, out, False), x, dy)
    assert_near(reference.average_pool_backward(dy, x.shape, *mean, False), want, 1e-8)


def test_broadcast_gradients_and_infinite_ones() -> None:
    x = np.random.default_rng(7).standard_normal((2, 3, 4, 4))
    two, none, one = (2, 2), (0, 0), (1, 1)
    y, indices = reference.max_pool_forward(x, two, two, none, one, (2, 2))
    dy = np.broadcast_to(np.float64(np.inf), y.shape)
    dx = reference.max_pool_backward(dy, indices, x.shape, two, two, none, one)
    assert np.isinf(dx).sum() == y.size and (dx == 0).sum() == x.size - y.size
    some = np.broadcast_to(np.array([1.0, 2.0]), y.shape)
    np.testing.assert_array_equal(
        reference.max_pool_backward(some, indices, x.shape, two, two, none, one),
        reference.max_pool_backward(some.copy(), indices, x.shape, two, two, none, one),
    )


def test_empty_batch_and_float16() -> None:
    y, indices = reference.max_pool_forward(np.zeros((0, 2, 4)), (2,), (2,), (0,), (1,), (2,))
    assert y.shape == indices.shape == (0, 2, 2)
    assert reference.max_pool_backward(y, indices, (0, 2, 4), (2,), (2,), (0,), (1,)).shape == (0, 2, 4)
    x = np.random.default_rng(8).standard_normal((2, 2, 4)).astype(np.float16)
    y, indices = reference.max_pool_forward(x, (2,), (2,), (0,), (1,), (2,))
    assert y.dtype == np.float16 and indices.dtype == np.int64
    np.testing.assert_array_equal(y, x.reshape(2, 2, 2, 2).max(-1))


def test_distances_beyond_one_byte() -> None:
    """Windows whose last tap is more than 255 elements from the first, in planes of long rows."""
    x = np.random.default_rng(9).standard_normal((1, 2, 6, 400))
    geometry = (3, 3), (1, 2), (1, 1), (2, 3), (4, 198)
    y, indices = reference.max_pool_forward(x, *geometry)
    want, places = naive_max(x, geometry)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(indices, places)
