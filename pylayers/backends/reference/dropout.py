"""Dropout from a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)."""

from __future__ import annotations

import math

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference.parallel import FLAT_PART, parts, run
from pylayers.backends.reference.precision import operation

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(counter: tuple[Array, Array, Array, Array], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Four 32-bit words for each counter of four; all are held in uint64, where their products have room."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            product1 >> HALF ^ c1 ^ np.uint64(k0),
            product1 & LOW,
            product0 >> HALF ^ c3 ^ np.uint64(k1),
            product0 & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words(first: int, count: int, seed: int) -> Array:
    """Words 0..3 of the counters first, first + 1, ... -> (count, 4)."""
    blocks = np.arange(count, dtype=np.uint64) + np.uint64(first % 2**64)
    zero = np.zeros(count, np.uint64)
    return np.stack(philox((blocks & LOW, blocks >> HALF, zero, zero), (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)), 1)


@operation()
def dropout(x: Array, p: float, seed: int, offset: int) -> Array:
    """As `contract.Backend.dropout`."""
    threshold = np.uint64(math.floor(p * 2**32))
    blocks = -(-x.size // 4)
    keep = np.empty((blocks, 4), np.bool_)

    def work(part: slice) -> None:
        np.greater_equal(words(offset + part.start, part.stop - part.start, seed), threshold, out=keep[part])

    run(work, parts(blocks, 4, FLAT_PART))
    y = arrays.empty_like(x)
    np.multiply(x, keep.reshape(-1)[: x.size].reshape(x.shape), out=y)
    if p < 1:
        y /= 1 - p
    return y
