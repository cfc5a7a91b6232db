"""Scaled dot-product attention: o = softmax(scale q k^T + mask) v, and the log-sum-exp that its backward needs."""

from __future__ import annotations

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference.precision import operation
from pylayers.backends.reference.products import matmul


def product(a: Array, b: Array) -> Array:
    """a (b, h, m, k) @ b (b, h, k, n) -> (b, h, m, n)."""
    y = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    matmul(a, b, y)
    return y


def scores(q: Array, k: Array, mask: Array | None, scale: float, diagonal: int | None) -> Array:
    """scale q k^T + mask (b, h, s, t), -inf where a query does not see a key."""
    x = product(q, np.swapaxes(k, -1, -2))
    x *= scale
    if mask is not None:
        x += mask
        x[np.broadcast_to(np.isneginf(mask), x.shape)] = -np.inf  # whatever the key holds
    if diagonal is not None:
        s, t = x.shape[-2:]
        x[..., np.arange(t) > np.arange(s)[:, None] + diagonal] = -np.inf
    return x


def finite_or_zero(x: Array) -> Array:
    """x with 0 for -inf: what may be subtracted from a row that sees nothing."""
    return np.where(np.isneginf(x), 0, x)


def seen_product(weights: Array, hidden: Array, x: Array) -> Array:
    """weights @ x, where what is hidden counts nothing even if x is not finite there."""
    if np.isfinite(x).all():
        return product(weights, x)
    return np.where(hidden[..., None], 0, weights[..., None] * x[..., None, :, :]).sum(axis=-2)


def ordered_like(first: Array, value: Array) -> Array:
    """`value` in the memory order of `first`."""
    y = arrays.empty_like(first, value.shape)
    y[...] = value
    return y


@operation()
def attention_forward(
    q: Array, k: Array, v: Array, mask: Array | None, scale: float, diagonal: int | None
) -> tuple[Array, Array]:
    """As `contract.Backend.attention_forward`; lse of 16-bit q is float32."""
    p = scores(q, k, mask, scale, diagonal)
    hidden = np.isneginf(p)
    shift = finite_or_zero(p.max(axis=-1, keepdims=True, initial=-np.inf))
    p -= shift
    np.exp(p, out=p)
    total = p.sum(axis=-1, keepdims=True)
    o = seen_product(p, hidden, v)
    o /= np.where(total == 0, 1, total)
    return ordered_like(q, o), (shift + np.log(total))[..., 0]


@operation(rounded=3)
def attention_backward(
    do: Array,
    q: Array,
    k: Array,
    v: Array,
    o: Array,
    lse: Array,
    mask: Array | None,
    scale: float,
    diagonal: int | None,
) -> tuple[Array, Array, Array]:
    """As `contract.Backend.attention_backward`."""
    p = scores(q, k, mask, scale, diagonal)
    hidden = np.isneginf(p)
    p -= finite_or_zero(lse)[..., None]
    np.exp(p, out=p)
    dv = seen_product(np.swapaxes(p, -1, -2), np.swapaxes(hidden, -1, -2), do)
    ds = product(do, np.swapaxes(v, -1, -2))
    ds -= (do * o).sum(axis=-1, keepdims=True)
    ds *= p
    ds *= scale
    ds[hidden] = 0
    dq = seen_product(ds, hidden, k)
    dk = seen_product(np.swapaxes(ds, -1, -2), np.swapaxes(hidden, -1, -2), q)
    return ordered_like(do, dq), ordered_like(do, dk), ordered_like(do, dv)
