"""Attention and its gradients against the float64 reference; masks against goldens written by hand."""

from __future__ import annotations

import bounds
import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth
from layouts import LAYOUTS, in_turns
from subject import Subject

NAMES = ("dq", "dk", "dv")
# batch, heads, queries, keys, d, e
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 7, 40, 16, 20),
    (1, 2, 33, 32, 33, 64),
    (1, 1, 5, 31, 65, 3),
    (1, 1, 3, 34, 130, 256),
]


def draw(b: int, h: int, s: int, t: int, d: int, e: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.standard_normal(shape).astype(np.float32)
        for shape in [(b, h, s, d), (b, h, t, d), (b, h, t, e), (b, h, s, e)]
    ]


def check(on: Subject, q, k, v, do, mask, diagonal, change=lambda x: x) -> None:
    """The reference's mask lies as given; the backend's, as all that the backend gets, as `change` says."""
    scale = q.shape[3] ** -0.5
    with np.errstate(all="ignore"):
        own = reference.attention_forward(q, k, v, mask, scale, diagonal)
        exact = truth("attention_forward", q, k, v, mask, scale, diagonal)
        placed = [change(a) for a in (q, k, v)]
        placed_mask = None if mask is None else change(mask)
        got = on("attention_forward", *placed, placed_mask, scale, diagonal)
        for name, *parts in zip(("o", "lse"), got, exact, own, strict=True):
            assert_as_good(*parts, 2, name)
        o, lse = own
        backward = do, q, k, v, o, lse, mask, scale, diagonal
        own, exact = reference.attention_backward(*backward), truth("attention_backward", *backward)
        got = on("attention_backward", change(do), *placed, change(o), lse, placed_mask, scale, diagonal)
        allowed = bounds.attention_backward(exact, own, *backward)
        for name, *parts in zip(NAMES, got, exact, allowed, strict=True):
            assert_within(*parts, name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("diagonal", [None, 0, "aligned"])
def test_sizes(on: Subject, size: tuple[int, ...], diagonal: int | str | None) -> None:
    check(on, *draw(*size), None, size[3] - size[2] if diagonal == "aligned" else diagonal)


@pytest.mark.parametrize(
    "size", [(0, 2, 3, 4, 5, 6), (2, 0, 3, 4, 5, 6), (1, 1, 0, 4, 5, 6), (1, 2, 3, 0, 5, 6), (1, 1, 2, 3, 4, 0)]
)
def test_empty(on: Subject, size: tuple[int, ...]) -> None:
    check(on, *draw(*size), None, None)


@pytest.mark.parametrize("layout", [*LAYOUTS])
def test_strides(on: Subject, layout: str) -> None:
    check(on, *draw(2, 3, 5, 35, 8, 9), None, None, LAYOUTS[layout])


def test_heads_that_share_keys(on: Subject) -> None:
    q, k, v, do = draw(2, 4, 5, 6, 8, 8)
    check(on, q, np.broadcast_to(k[:, :1], k.shape), np.broadcast_to(v[:, :1], v.shape), do, None, 1)


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 35), (5, 35)])
def test_arrays_that_lie_differently(on: Subject, shape: tuple[int, ...], first: str) -> None:
    """The mask too, which so has steps along its keys."""
    mask = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    check(on, *draw(2, 3, 5, 35, 8, 10), mask, None, in_turns(first))
    check(on, *draw(2, 3, 5, 35, 8, 10), mask, None, LAYOUTS[first])


@pytest.mark.parametrize("shape", [(2, 3, 5, 35), (1, 1, 5, 35), (2, 1, 1, 35), (2, 3, 5, 1), (5, 35), (35,), (5, 1)])
def test_additive_masks(on: Subject, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    mask = rng.standard_normal(shape).astype(np.float32)
    mask[rng.random(shape) < 0.3] = -np.inf
    check(on, *draw(2, 3, 5, 35, 8, 8), mask, None)


@pytest.mark.parametrize(
    "s, t, diagonal, seen",
    [
        (2, 5, 0, ["10000", "11000"]),
        (2, 5, 3, ["11110", "11111"]),
        (5, 2, 0, ["10", "11", "11", "11", "11"]),
        (5, 2, -3, ["00", "00", "00", "10", "11"]),
        (1, 4, 0, ["1000"]),
        (4, 1, 0, ["1", "1", "1", "1"]),
    ],
)
def test_diagonal_against_masks_written_by_hand(on: Subject, s: int, t: int, diagonal: int, seen: list[str]) -> None:
    q, k, v, _ = draw(1, 1, s, t, 4, 3)
    visible = np.array([[c == "1" for c in row] for row in seen])
    o, lse = on("attention_forward", q, k, v, None, 0.5, diagonal)
    for i in range(s):
        keys = np.flatnonzero(visible[i])
        if keys.size == 0:
            np.testing.assert_array_equal(o[0, 0, i], 0)
            assert lse[0, 0, i] == -np.inf
            continue
        scores = 0.5 * (k[0, 0, keys].astype(np.float64) @ q[0, 0, i].astype(np.float64))
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(o[0, 0, i], weights @ v[0, 0, keys], rtol=2e-6, atol=1e-6)


def test_what_is_masked_out_never_reaches_the_output(on: Subject) -> None:
    q, k, v, do = draw(1, 2, 4, 40, 8, 8)
    mask = np.zeros((4, 40), np.float32)
    mask[:, 35] = mask[:, 3] = mask[2] = -np.inf  # row 2 sees nothing at all
    clean = on("attention_forward", q, k, v, mask, 0.3, None)
    o, lse = reference.attention_forward(q, k, v, mask, 0.3, None)
    grads = on("attention_backward", do, q, k, v, o, lse, mask, 0.3, None)
    k[:, :, 35], v[:, :, 35], k[:, :, 3], v[:, :, 3] = np.nan, np.nan, np.inf, -np.inf
    for got, want in zip(on("attention_forward", q, k, v, mask, 0.3, None), clean, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    dirty = on("attention_backward", do, q, k, v, o, lse, mask, 0.3, None)
    for name, got, want in zip(NAMES, dirty, grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (clean[0][0, :, 2] == 0).all() and (grads[0][0, :, 2] == 0).all()


def test_kernels_name_their_limit(kernels: Subject) -> None:
    q = np.zeros((1, 1, 2, 257), np.float32)
    with pytest.raises(NotImplementedError, match="argument 'q': expected at most 256 columns a head, got 257"):
        kernels("attention_forward", q, q, q, None, 1.0, None)


def test_schedules(scheduled: Subject) -> None:
    check(scheduled, *draw(1, 2, 9, 40, 8, 70), None, 31)
