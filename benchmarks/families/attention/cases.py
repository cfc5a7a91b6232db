"""The attention problems that are timed: 16 k tokens by hidden size 2048, as published tables have, and other needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...harness.contract import Case
from ...harness.dtypes import SHORT, SIZE

TOKENS, HIDDEN = 16384, 2048
HEAD_SIZES = (64, 128, 256)
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
# Lengths of sequences packed into one batch: 16 k tokens, from a sentence to a document.
PACKED = (37, 4096, 512, 1, 2048, 777, 128, 3000, 64, 1500, 255, 1024, 2048, 300, 94, 500)
DECODE = [(1, 1024), (1, 32768), (64, 1024), (64, 8192), (16, 32768)]  # batch, keys in the cache


def visible(queries: int, keys: int, causal: bool, window: int = 0) -> int:
    """How many pairs of query and key count; a causal square as half, which is the convention of published figures."""
    if window:
        return sum(min(i + 1, window) for i in range(queries))
    return queries * keys // 2 if causal else queries * keys


def attention(
    group: str,
    dtype: str,
    direction: str,
    batch: int,
    heads: int,
    queries: int,
    head: int,
    causal: bool,
    keys: int = 0,
    kv_heads: int = 0,
    window: int = 0,
    lengths: Sequence[int] = (),
    quick: bool = False,
) -> Case:
    """4 d operations for each visible pair of query and key, 2.5 times as many backward."""
    keys, kv_heads, backward = keys or queries, kv_heads or heads, direction == "backward"
    pairs = sum(visible(n, n, causal) for n in lengths) if lengths else batch * visible(queries, keys, causal, window)
    q, kv = batch * heads * queries * head * SIZE[dtype], batch * kv_heads * keys * head * SIZE[dtype]
    lse = 4 * batch * heads * queries
    params: dict[str, Any] = {
        "direction": direction, "batch": batch, "heads": heads, "kv_heads": kv_heads, "queries": queries, "keys": keys,
        "head": head, "causal": causal, "window": window, "lengths": list(lengths),
    }  # fmt: skip
    sizes = f"{batch}x{heads}" + (f"/{kv_heads}" if kv_heads != heads else "") + f"x{queries}"
    words = [SHORT[dtype], direction, f"d{head}", sizes + (f" keys {keys}" if keys != queries else "")]
    words += ["causal"] * causal + [f"window {window}"] * bool(window) + [f"{len(lengths)} lengths"] * bool(lengths)
    flop = 4 * heads * head * pairs
    # Backward reads q, o, do, k, v and the log-sum-exp, and writes dq, dk, dv.
    moved = 4 * q + 4 * kv + lse if backward else 2 * q + 2 * kv
    return Case("attention", " ".join(words), group, dtype, flop * 5 // 2 if backward else flop, moved, params, quick)


def small() -> Iterator[Case]:
    """What takes milliseconds on two cores; the smallest suit the emulator."""
    for direction in ("forward", "backward"):
        for causal in (False, True):
            yield attention("tiny", "float32", direction, 1, 2, 33, 32, causal, quick=True)
        yield attention("small", "float32", direction, 2, 4, 256, 64, True, quick=True)
        yield attention("small", "float32", direction, 2, 8, 512, 64, False)
        yield attention("small", "bfloat16", direction, 2, 4, 256, 64, True)
        yield attention("small, grouped", "float32", direction, 1, 8, 256, 64, True, kv_heads=2)
    yield attention("small", "float32", "forward", 2, 8, 1, 64, False, keys=1000, quick=True)


def squares() -> Iterator[Case]:
    """Every head size, length, mask and direction in bfloat16."""
    for head in HEAD_SIZES:
        for length in LENGTHS:
            for causal in (False, True):
                for direction in ("forward", "backward"):
                    batch = max(1, TOKENS // length)
                    yield attention("square", "bfloat16", direction, batch, HIDDEN // head, length, head, causal)


def others() -> Iterator[Case]:
    """Other dtypes, grouped heads as in Llama 3 8 B, odd lengths, a sliding window, packed sequences, decoding."""
    for direction in ("forward", "backward"):
        yield attention("float16", "float16", direction, 4, 16, 4096, 128, True)
        for length, causal in ((1024, False), (4096, True)):
            yield attention("float32", "float32", direction, TOKENS // length, 32, length, 64, causal)
        for length in (2048, 8192):
            yield attention("grouped", "bfloat16", direction, TOKENS // length, 32, length, 128, True, kv_heads=8)
        yield attention("odd", "bfloat16", direction, 16, 16, 1021, 128, True)
        yield attention("window", "bfloat16", direction, 2, 16, 8192, 128, True, window=1024)
    for causal in (False, True):
        yield attention("lengths", "bfloat16", "forward", 1, 16, sum(PACKED), 128, causal, lengths=PACKED)
    for batch, keys in DECODE:
        yield attention("decode", "bfloat16", "forward", batch, 32, 1, 128, False, keys=keys, kv_heads=8)


CASES = (*small(), *squares(), *others())
