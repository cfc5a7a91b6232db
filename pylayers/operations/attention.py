"""Scaled dot-product attention o = softmax(scale q k^T + mask) v, with grouped heads, and its gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pylayers import arrays, backends
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.array import sum_to

Array = Any
OP = "scaled_dot_product_attention"


@dataclass(frozen=True)
class Problem:
    """The operands on four axes, as a backend takes them, and how to return."""

    q: Array
    k: Array
    v: Array
    mask: Array | None
    scale: float
    diagonal: int | None
    batch: tuple[int, ...]  # the leading axes of the operands before they became two
    out: tuple[int, ...]  # the shape of the result


def problem(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Problem:
    """Checks the arguments of torch.nn.functional.scaled_dot_product_attention and lays them out on four axes.

    q (..., s, d), k (..., t, d), v (..., t, e) with leading axes that broadcast; mask boolean (True takes part) or an
    additive float of q's dtype, broadcastable to (..., s, t); `is_causal`: query i sees keys j <= i (top-left).
    With `enable_gqa` the third axis from the end of q is a multiple of that of k and v, whose heads are shared.
    Shared heads and broadcast batches are views of stride 0.
    """
    for name, x in (("key", k), ("value", v), ("query", q)):
        checks.same_dtype(OP, name, x, "query", q)
        if x.ndim < 2:
            raise expected(OP, name, "two axes or more", f"shape {x.shape}")
    if k.shape[-1] != q.shape[-1]:
        raise expected(OP, "key", f"{q.shape[-1]} features on the last axis as 'query' has", f"shape {k.shape}")
    if v.shape[-2] != k.shape[-2]:
        raise expected(OP, "value", f"{k.shape[-2]} positions as 'key' has", f"shape {v.shape}")
    if is_causal and mask is not None:
        raise expected(OP, "attn_mask", "None with is_causal=True", f"shape {mask.shape}")
    if scale is None:
        scale = 1.0 / math.sqrt(max(q.shape[-1], 1))
    xp = arrays.namespace(q)
    grouped = enable_gqa and not _heads(q) == _heads(k) == _heads(v)
    batch = _batch(q, k, v, grouped)
    out = (*batch, q.shape[-2], v.shape[-1])
    if mask is not None:
        mask = _additive(mask, q, (*batch, q.shape[-2], k.shape[-2]))
    if grouped:
        heads, shared = batch[-1], k.shape[-3]
        split = (*batch[:-1], shared, heads // shared)
        q = xp.broadcast_to(q, (*batch, *q.shape[-2:])).reshape(*split, *q.shape[-2:])
        k, v = (x[..., None, :, :] for x in (k, v))
        if mask is not None and mask.ndim > 2 and any(size != 1 for size in mask.shape[:-2]):
            mask = xp.broadcast_to(mask, (*batch, *mask.shape[-2:])).reshape(*split, *mask.shape[-2:])
        batch = split
    if mask is not None:
        mask = _four(xp, mask, batch) if len(batch) > 2 else mask[(None,) * (4 - mask.ndim)]
    q, k, v = (_four(xp, x, batch) for x in (q, k, v))
    return Problem(q, k, v, mask, float(scale), 0 if is_causal else None, batch, out)


def attention(how: Problem) -> tuple[Array, Array]:
    """o of shape how.out and the log-sum-exp (b, h, s); a query that sees no key gives 0."""
    backend = backends.of(OP, how.q, how.k, how.v, how.mask)
    o, lse = backend.attention_forward(how.q, how.k, how.v, how.mask, how.scale, how.diagonal)
    return o.reshape(how.out), lse


def attention_backward(
    do: Array, how: Problem, o: Array, lse: Array, shapes: tuple[tuple[int, ...], ...]
) -> tuple[Array, Array, Array]:
    """dq, dk, dv of the given shapes, summed over what was shared or broadcast; do and o of shape how.out."""
    four = (*how.q.shape[:-1], how.v.shape[-1])
    backend = backends.of(OP, do, how.q, how.k, how.v, how.mask)
    gradients = backend.attention_backward(
        do.reshape(four), how.q, how.k, how.v, o.reshape(four), lse, how.mask, how.scale, how.diagonal
    )
    dq = sum_to(gradients[0].reshape(*how.out[:-2], *shapes[0][-2:]), shapes[0])
    dk, dv = (dx.reshape(*how.batch, *shape[-2:]) for dx, shape in zip(gradients[1:], shapes[1:]))
    if len(how.batch) != len(how.out) - 2:  # grouped heads: the last batch axis counts those that shared one
        dk, dv = dk.sum(axis=-3), dv.sum(axis=-3)
    return dq, sum_to(dk, shapes[1]), sum_to(dv, shapes[2])


def _heads(x: Array) -> int:
    return x.shape[-3] if x.ndim > 2 else 1


def _batch(q: Array, k: Array, v: Array, grouped: bool) -> tuple[int, ...]:
    if grouped:
        heads, shared, other = _heads(q), _heads(k), _heads(v)
        if min(q.ndim, k.ndim, v.ndim) < 3 or shared != other or shared == 0 or heads % shared:
            wanted = f"a number of heads (third axis from the end) that divides the {heads} of 'query'"
            raise expected(OP, "key", wanted, f"{shared} in 'key' and {other} in 'value'")
    drop = -3 if grouped else -2
    shapes = [x.shape[:drop] for x in (q, k, v)]
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError:
        hint = "" if grouped or _heads(q) == _heads(k) else "fewer heads in 'key' need enable_gqa=True"
        raise expected(OP, "key", "leading axes that broadcast", f"{shapes}", hint) from None
    return (*batch, _heads(q)) if grouped else tuple(batch)


def _additive(mask: Array, q: Array, wanted: tuple[int, ...]) -> Array:
    """The mask as numbers to add; ValueError unless it broadcasts to `wanted`."""
    xp = arrays.namespace(q)
    try:
        fits = np.broadcast_shapes(mask.shape, wanted) == wanted and mask.ndim >= 2
    except ValueError:
        fits = False
    if not fits:
        raise expected(OP, "attn_mask", f"a shape of two axes or more that broadcasts to {wanted}", mask.shape)
    if mask.dtype == np.bool_:
        return xp.where(mask, xp.zeros((), q.dtype), xp.full((), -math.inf, q.dtype))
    if mask.dtype != q.dtype:
        raise expected(OP, "attn_mask", f"dtype bool or {q.dtype.name}", mask.dtype.name, error=TypeError)
    return mask


def _four(xp: Any, x: Array, batch: tuple[int, ...]) -> Array:
    """x broadcast over the batch axes, which become two: the last one and all before it."""
    x = xp.broadcast_to(x, (*batch, *x.shape[-2:]))
    last = batch[-1] if batch else 1
    return x.reshape(math.prod(batch[:-1]), last, *x.shape[-2:])
