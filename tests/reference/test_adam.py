"""Adam, AdamW and the norm of gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, counters, stridings, writable

from pylayers.backends.contract import AdamRates


def step(p, g, m, v, steps, decay=0.0, decoupled=False, maximize=False, kind="separate", norm=None):  # type: ignore[no-untyped-def]
    reference.adam(p, g, m, v, steps, AdamRates(1e-2, 0.9, 0.999, 1e-8, decay, decoupled, maximize, kind), norm)


def by_hand(p, g, m, v, t, decay, decoupled, maximize, kind):  # type: ignore[no-untyped-def]
    """The docstring, in float64."""
    lr, beta1, beta2, eps = 1e-2, 0.9, 0.999, 1e-8
    g = -g if maximize else g
    if decoupled:
        p = p - lr * decay * p
    else:
        g = g + decay * p
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    if kind == "separate":
        p = p - lr * m / c1 / (np.sqrt(v / c2) + eps)
    elif kind == "folded":
        p = p - lr * np.sqrt(c2) / c1 * m / (np.sqrt(v) + eps)
    else:
        p = p - lr * m / (np.sqrt(v) + eps)
    return p, m, v


@pytest.mark.parametrize("kind", ["separate", "folded", "none"])
@pytest.mark.parametrize("decay, decoupled, maximize", [(0, False, False), (0.1, False, True), (0.1, True, False)])
@pytest.mark.parametrize("size", [0, 1, 3, 4095, 4097, 100_003])
def test_steps_by_definition(kind: str, decay: float, decoupled: bool, maximize: bool, size: int) -> None:
    rng = np.random.default_rng(size)
    p, m, v = rng.standard_normal(size), np.zeros(size), np.zeros(size)
    start, want, steps = p.copy(), (p, m, v), counters(1)
    for t in range(1, 5):
        g = rng.standard_normal(size) * 10.0 ** rng.integers(-12, 3, size)  # eps matters for the smallest
        want = by_hand(want[0], g, want[1], want[2], t, decay, decoupled, maximize, kind)
        step([p], [g], [m], [v], steps, decay, decoupled, maximize, kind)
    for got, wanted in zip((p, m, v), want, strict=True):
        assert_near(got, wanted, 1e-13)
    assert (p != start).all()
    np.testing.assert_array_equal(steps[0], [4, 0])


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("decay, decoupled, maximize", [(0, False, False), (0.01, False, True), (0.01, True, False)])
def test_100_steps_live_against_torch(count: int, decay: float, decoupled: bool, maximize: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(count)
    shapes = [tuple(rng.integers(1, 4, rng.integers(1, 4))) for _ in range(count)]
    p = [rng.standard_normal(shape) for shape in shapes]
    leaves = [torch.nn.Parameter(torch.tensor(x)) for x in p]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind(leaves, lr=1e-2, weight_decay=decay, maximize=maximize, foreach=True)
    m, v, steps = [np.zeros_like(x) for x in p], [np.zeros_like(x) for x in p], counters(count)
    for _ in range(100 if count < 300 else 10):
        g = [rng.standard_normal(shape) for shape in shapes]
        for leaf, x in zip(leaves, g, strict=True):
            leaf.grad = torch.tensor(x)
        optimizer.step()
        step(p, g, m, v, steps, decay, decoupled, maximize)
    for x, a, b, leaf in zip(p, m, v, leaves, strict=True):
        state = optimizer.state[leaf]
        assert_near(x, leaf.detach().numpy(), 1e-12)
        assert_near(a, state["exp_avg"].numpy(), 1e-12)
        assert_near(b, state["exp_avg_sq"].numpy(), 1e-12)


def test_1000_steps_without_correction_reproduce_the_textbook() -> None:
    theta = np.random.default_rng(0).standard_normal(100)
    p, m, v, steps = theta.copy(), np.zeros(100), np.zeros(100), counters(1)
    a, b = np.zeros(100), np.zeros(100)
    for _ in range(1000):
        a, b = 0.9 * a + 0.1 * 2 * theta, 0.999 * b + 0.001 * (2 * theta) ** 2
        theta = theta - 0.01 * a / (np.sqrt(b) + 1e-8)
        step([p], [2 * p], [m], [v], steps, kind="none")
        assert_near(p, theta, 1e-12)


def test_any_strides_and_misaligned_memory_in_place() -> None:
    rng = np.random.default_rng(1)
    values = [rng.standard_normal((3, 4, 5)) for _ in range(3)] + [rng.random((3, 4, 5))]
    want = [x.copy() for x in values]
    step(want[:1], want[1:2], want[2:3], want[3:], counters(1), 0.1)
    for kinds in itertools.product(*(stridings(x) for x in values)):
        own = [writable(x) for _, x in kinds]
        step(own[:1], own[1:2], own[2:3], own[3:], counters(1), 0.1)
        for got, wanted in zip(own, want, strict=True):
            assert_near(got, wanted, 0)
    memory = np.zeros((4, 60 * 8 + 1), np.uint8)
    own = [row[1:].view(np.float64).reshape(3, 4, 5) for row in memory]
    for x, y in zip(own, values, strict=True):
        x[...] = y
    step(own[:1], own[1:2], own[2:3], own[3:], counters(1), 0.1)
    for got, wanted in zip(own, want, strict=True):
        assert_near(got, wanted, 0)


def test_dtype_mixes_compute_wide_and_round_once() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(2)
    mixes = itertools.product(
        (np.float16, ml_dtypes.bfloat16, np.float32), (ml_dtypes.bfloat16, np.float32), (ml_dtypes.bfloat16, np.float32)
    )
    for dtypes in mixes:
        p, g, m, v = (x.astype(t) for x, t in zip(rng.random((4, 9000)), (*dtypes, dtypes[2]), strict=True))
        wide = [x.astype(np.float32) for x in (p, g, m, v)]
        step([p], [g], [m], [v], counters(1), 0.1)
        step(wide[:1], wide[1:2], wide[2:3], wide[3:], counters(1), 0.1)
        for got, wanted in zip((p, g, m, v), wide, strict=True):
            np.testing.assert_array_equal(got, wanted.astype(got.dtype))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [(0, 0), (1, 8191), (1, 8192), (1, 9000), (2, 0)])
def test_after_a_bad_norm_nothing_changes(bad: float, place: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    g = [rng.standard_normal(size).astype(np.float32) for size in (1, 9001, 3)]
    g[place[0]][place[1]] = bad
    norm = reference.gradient_norm(g)
    assert norm.dtype == np.float32 and norm.shape == (2,) and norm[1] == 1
    state = [[rng.random(x.size).astype(np.float32) for x in g] for _ in range(3)]
    before = [[x.copy() for x in kind] for kind in state]
    steps = counters(3)
    step(state[0], g, state[1], state[2], steps, norm=norm)
    for kind, old in zip(state, before, strict=True):
        for x, y in zip(kind, old, strict=True):
            np.testing.assert_array_equal(x, y)
    assert not np.any(steps)
    step(state[0], g, state[1], state[2], steps)  # without a norm it never looks
    assert not np.isfinite(state[0][place[0]][place[1]])
