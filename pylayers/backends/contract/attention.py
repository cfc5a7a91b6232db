"""Attention of queries to keys and values."""

from __future__ import annotations

from typing import Protocol

from pylayers.backends.contract.op import FLOAT32, op
from pylayers.backends.contract.words import Array


class AttentionOps(Protocol):
    """Signatures and meaning."""

    @op("attention", kernels=FLOAT32)
    def attention_forward(
        self, q: Array, k: Array, v: Array, mask: Array | None, scale: float, diagonal: int | None
    ) -> tuple[Array, Array]:
        """o = softmax(scale q k^T + mask) v and its log-sum-exp.

        q (b, h, s, d), k (b, h, t, d), v (b, h, t, e), additive float mask broadcastable to (b, h, s, t) ->
        o (b, h, s, e), lse (b, h, s). With `diagonal` set, query i sees keys j <= i + diagonal only.
        A row that sees nothing gives o = 0 and lse = -inf.
        """

    @op("attention", kernels=FLOAT32)
    def attention_backward(
        self,
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
        """-> dq, dk, dv of the shapes of q, k, v. A row that sees nothing has gradient 0. The mask gets none."""
