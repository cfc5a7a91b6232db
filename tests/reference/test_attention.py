"""Scaled dot-product attention."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, numeric_gradient


def operands(rng: np.random.Generator, s: int = 3, t: int = 4, d: int = 5, e: int = 2) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in ((2, 2, s, d), (2, 2, t, d), (2, 2, t, e))]


def naive(q, k, v, mask, scale, diagonal):  # type: ignore[no-untyped-def]
    """Row by row, with only the keys that are seen."""
    o, lse = np.zeros((*q.shape[:3], v.shape[3])), np.full(q.shape[:3], -np.inf)
    mask = np.zeros(()) if mask is None else mask
    mask = np.broadcast_to(mask, (*q.shape[:3], k.shape[2]))
    for b, h, i in np.ndindex(*q.shape[:3]):
        seen = [j for j in range(k.shape[2]) if (diagonal is None or j <= i + diagonal) and mask[b, h, i, j] != -np.inf]
        if not seen:
            continue
        x = np.array([scale * q[b, h, i] @ k[b, h, j] + mask[b, h, i, j] for j in seen])
        p = np.exp(x - x.max())
        o[b, h, i] = (p / p.sum()) @ v[b, h, seen]
        lse[b, h, i] = x.max() + np.log(p.sum())
    return o, lse


def masks(rng: np.random.Generator) -> dict[str, np.ndarray | None]:
    holes = rng.standard_normal((2, 1, 3, 4))
    holes[0, 0, 1] = -np.inf
    holes[1, 0, 0, :2] = -np.inf
    return {"none": None, "row": rng.standard_normal((1, 1, 1, 4)), "holes": holes}


@pytest.mark.parametrize("mask", ["none", "row", "holes"])
@pytest.mark.parametrize("diagonal", [None, 0, 1, -2, 9])
def test_forward_and_backward(mask: str, diagonal: int | None) -> None:
    rng = np.random.default_rng(0)
    q, k, v = operands(rng)
    rest = masks(rng)[mask], 0.3, diagonal
    o, lse = reference.attention_forward(q, k, v, *rest)
    want_o, want_lse = naive(q, k, v, *rest)
    assert_near(o, want_o, 1e-13)
    assert_near(lse, want_lse, 1e-13)
    do = rng.standard_normal(o.shape)
    dq, dk, dv = reference.attention_backward(do, q, k, v, o, lse, *rest)
    assert_near(dq, numeric_gradient(lambda z: reference.attention_forward(z, k, v, *rest)[0], q, do), 1e-8)
    assert_near(dk, numeric_gradient(lambda z: reference.attention_forward(q, z, v, *rest)[0], k, do), 1e-8)
    assert_near(dv, numeric_gradient(lambda z: reference.attention_forward(q, k, z, *rest)[0], v, do), 1e-8)


@pytest.mark.parametrize("causal", [False, True])
def test_live_against_torch(causal: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    q, k, v = operands(rng, 6, 6, 8, 8)
    leaves = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    y = torch.nn.functional.scaled_dot_product_attention(*leaves, is_causal=causal)
    do = rng.standard_normal(y.shape)
    y.backward(torch.tensor(do))
    rest = None, 8**-0.5, 0 if causal else None
    o, lse = reference.attention_forward(q, k, v, *rest)
    assert_near(o, y.detach().numpy())
    gradients = reference.attention_backward(do, q, k, v, o, lse, *rest)
    for got, leaf in zip(gradients, leaves, strict=True):
        assert_near(got, leaf.grad.numpy())


def test_golden() -> None:
    q, k = np.array([[[[2.0], [0]]]]), np.array([[[[0.0], [np.log(3)]]]])
    v = np.array([[[[4.0, 0], [8, 1]]]])
    o, lse = reference.attention_forward(q, k, v, None, 0.5, None)
    assert_near(o, np.array([[[[7, 0.75], [6, 0.5]]]]), 1e-15)
    assert_near(lse, np.log(np.array([[[4.0, 2.0]]])), 1e-15)


def test_rows_that_see_nothing(recwarn: pytest.WarningsRecorder) -> None:
    q, k, v = operands(np.random.default_rng(2))
    for mask, diagonal in ((np.full((1, 1, 1, 1), -np.inf), None), (None, -3)):
        o, lse = reference.attention_forward(q, k, v, mask, 1.0, diagonal)
        assert not o.any()
        assert np.isneginf(lse).all()
        for gradient in reference.attention_backward(np.ones_like(o), q, k, v, o, lse, mask, 1.0, diagonal):
            assert not gradient.any()
    o, lse = reference.attention_forward(q, k[:, :, :0], v[:, :, :0], None, 1.0, None)
    assert not o.any() and np.isneginf(lse).all()
    assert not recwarn.list


def test_large_scores_and_strides() -> None:
    rng = np.random.default_rng(3)
    q, k, v = operands(rng)
    o, lse = reference.attention_forward(q * 1e4, k, v, None, 1.0, None)
    want = naive(q * 1e4, k, v, None, 1.0, None)
    assert_near(o, want[0], 1e-11)
    assert_near(lse, want[1], 1e-13)
    heads_inside = [np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v)]
    again, _ = reference.attention_forward(*heads_inside, None, 1.0, None)
    assert_near(again, reference.attention_forward(q, k, v, None, 1.0, None)[0], 1e-14)
    assert again.transpose(0, 2, 1, 3).flags.c_contiguous
    do = np.broadcast_to(rng.standard_normal(2), o.shape)
    for got, same in zip(
        reference.attention_backward(do, *heads_inside, o, lse, None, 1.0, None),
        reference.attention_backward(do.copy(), q, k, v, o, lse, None, 1.0, None),
        strict=True,
    ):
        assert_near(got, same, 1e-12)


def test_float16_rounds_once_and_keeps_its_log_sum_exp_in_float32() -> None:
    q, k, v = (x.astype(np.float16) for x in operands(np.random.default_rng(4)))
    o, lse = reference.attention_forward(q, k, v, None, 0.5, 0)
    wide, wide_lse = reference.attention_forward(*(x.astype(np.float32) for x in (q, k, v)), None, 0.5, 0)
    assert o.dtype == np.float16 and lse.dtype == np.float32
    np.testing.assert_array_equal(o, wide.astype(np.float16))
    np.testing.assert_array_equal(lse, wide_lse)
    assert all(g.dtype == np.float16 for g in reference.attention_backward(o, q, k, v, o, lse, None, 0.5, 0))
