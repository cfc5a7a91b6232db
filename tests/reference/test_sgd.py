"""Stochastic gradient descent."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, counters, stridings, writable

from pylayers.backends.contract import SgdRates

SHAPES = [(3, 4), (0,), (1,), (4097,), (2, 3, 2)]


def tensors(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in SHAPES]


def test_golden() -> None:
    p, g, m, steps = np.array([1.0, -2]), np.array([0.5, 1]), np.array([7.0, 7]), counters(1)
    reference.sgd([p], [g], [m], steps, SgdRates(0.1, 0.5, 0.25, 0.2, False, False))
    # d = g + 0.2 p = (0.7, 0.6); at the first step m = d
    assert_near(m, np.array([0.7, 0.6]), 1e-15)
    assert_near(p, np.array([0.93, -2.06]), 1e-15)
    reference.sgd([p], [g], [m], steps, SgdRates(0.1, 0.5, 0.25, 0.2, True, False))
    # d = (0.686, 0.588), m = m / 2 + 0.75 d = (0.8645, 0.741), p -= 0.1 (d + m / 2)
    assert_near(m, np.array([0.8645, 0.741]), 1e-15)
    assert_near(p, np.array([0.93 - 0.111825, -2.06 - 0.09585]), 1e-15)
    np.testing.assert_array_equal(steps[0], [2, 0])
    np.testing.assert_array_equal(g, [0.5, 1])


@pytest.mark.parametrize(
    "momentum, dampening, weight_decay, nesterov, maximize",
    [
        (m, d, w, n, x)
        for m, d, w, n, x in itertools.product((0, 0.9), (0, 0.3), (0, 0.01), (False, True), (False, True))
        if not (n and (m == 0 or d))  # as torch
    ],
)
def test_100_steps_live_against_torch(
    momentum: float, dampening: float, weight_decay: float, nesterov: bool, maximize: bool
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    p = tensors(rng)
    leaves = [torch.nn.Parameter(torch.tensor(x)) for x in p]
    options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
    optimizer = torch.optim.SGD(leaves, lr=0.01, maximize=maximize, **options)
    m = [np.full_like(x, np.nan) if momentum else None for x in p]
    steps = counters(len(p))
    for _ in range(100):
        g = tensors(rng)
        for leaf, x in zip(leaves, g, strict=True):
            leaf.grad = torch.tensor(x)
        optimizer.step()
        reference.sgd(p, g, m, steps, SgdRates(0.01, momentum, dampening, weight_decay, nesterov, maximize))
    for x, leaf in zip(p, leaves, strict=True):
        assert_near(x, leaf.detach().numpy(), 1e-12)
    assert [int(s[0]) for s in steps] == [100] * len(p)


def test_any_strides_in_place() -> None:
    rng = np.random.default_rng(1)
    p, g, m = (rng.standard_normal((3, 4, 5)) for _ in range(3))
    want_p, want_m = p.copy(), m.copy()
    later = [np.array([5, 0], np.int32)]
    reference.sgd([want_p], [g], [want_m], [later[0].copy()], SgdRates(0.1, 0.9, 0.0, 0.1, True, False))
    assert (want_p != p).all()
    for (_, a), (_, b), (_, c) in itertools.product(stridings(p), stridings(g), stridings(m)):
        own_p, own_m = writable(a), writable(c)
        reference.sgd([own_p], [b], [own_m], [later[0].copy()], SgdRates(0.1, 0.9, 0.0, 0.1, True, False))
        assert_near(own_p, want_p, 0)
        assert_near(own_m, want_m, 0)


def test_gradients_may_be_broadcast() -> None:
    p, q = np.ones((2, 3)), np.ones((2, 3))
    g = np.broadcast_to(np.array([1.0, 2, 3]), (2, 3))
    reference.sgd([p], [g], [None], counters(1), SgdRates(0.1, 0.0, 0.0, 0.0, False, False))
    reference.sgd([q], [g.copy()], [None], counters(1), SgdRates(0.1, 0.0, 0.0, 0.0, False, False))
    np.testing.assert_array_equal(p, q)


def test_a_bad_norm_stops_the_step() -> None:
    p, m, steps = np.ones(3), np.full(3, 2.0), counters(1)
    arguments = [np.full(3, np.inf)], [m], steps, SgdRates(0.1, 0.9)
    reference.sgd([p], *arguments, norm=np.array([np.nan, 1], np.float32))
    np.testing.assert_array_equal(p, np.ones(3))
    np.testing.assert_array_equal(m, np.full(3, 2.0))
    np.testing.assert_array_equal(steps[0], [0, 0])
    reference.sgd([p], [np.ones(3)], *arguments[1:], norm=np.array([3, 0], np.float32))
    assert_near(p, np.full(3, 0.9), 1e-15)
    assert int(steps[0][0]) == 1
    reference.sgd([p], *arguments)
    assert np.isneginf(p).all()


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_parameters_round_once(name: str) -> None:
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name, name))
    rng = np.random.default_rng(2)
    p, g, m = (rng.standard_normal(50).astype(t) for t in (dtype, dtype, np.float32))
    wide = [x.astype(np.float32) for x in (p, g, m)]
    for values in ((p, g, m), wide):
        later = [np.array([1, 0], np.int32)]
        reference.sgd([values[0]], [values[1]], [values[2]], later, SgdRates(0.1, 0.9, 0.0, 0.1, False, False))
    np.testing.assert_array_equal(p, wide[0].astype(dtype))
    np.testing.assert_array_equal(m, wide[2])
