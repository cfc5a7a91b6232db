"""scaled_dot_product_attention."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.operations.attention import attention, attention_backward, problem

Array = Any


class Attention(Record):
    """o = softmax(scale q k^T + mask) v."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        is_causal: bool,
        scale: float | None,
        enable_gqa: bool,
    ) -> Array:
        if ctx.needs_input_grad[3]:
            raise NotImplementedError("scaled_dot_product_attention: attn_mask has no gradient yet; detach it")
        o, lse = attention(problem(q, k, v, mask, is_causal, scale, enable_gqa))
        ctx.arguments = (is_causal, scale, enable_gqa)
        ctx.save(q, k, v, mask, o, lse)
        return o

    @staticmethod
    def backward(ctx: Any, do: Array) -> tuple[Array | None, ...]:
        q, k, v, mask, o, lse = ctx.saved
        how = problem(q, k, v, mask, *ctx.arguments)
        gradients = attention_backward(do, how, o, lse, (q.shape, k.shape, v.shape))
        needed = (dx if need else None for dx, need in zip(gradients, ctx.needs_input_grad))
        return *needed, None, None, None, None


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale query key^T + attn_mask) value: query (..., s, d), key (..., t, d), value (..., t, e).

    attn_mask, broadcastable to (..., s, t): boolean, True takes part, or numbers to add. `is_causal`: query i sees the
    keys j <= i, counted from the first of each. scale: 1/sqrt(d) unless given. `enable_gqa`: each head of key and value
    serves several of query. A query that sees no key gives 0. NotImplementedError for dropout_p > 0.
    """
    if dropout_p != 0.0:
        raise NotImplementedError("scaled_dot_product_attention: dropout_p > 0 is not there yet; use dropout_p=0.0")
    return Attention.apply(query, key, value, attn_mask, is_causal, scale, enable_gqa)
