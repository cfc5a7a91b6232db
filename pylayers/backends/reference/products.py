"""Matrix products on BLAS, in pieces on threads of our own where they are large."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference import blas
from pylayers.backends.reference.parallel import parts, run

WORTH = 1 << 24  # multiplications: a quarter of a millisecond, which sharing them must be worth
# BLAS copies what all pieces have in common anew for each: shorter ones would spend a tenth of their time on it.
SHORTEST, SHARED = 64, 512  # rows or columns: two pieces of at least 64, more of at least 512


def pieces(length: int, work: int) -> Iterator[slice]:
    """Slices that cover range(length), in which `work` multiplications are shared."""
    count = min(work // WORTH, max(length // SHARED, min(length // SHORTEST, 2)))
    step = -(-length // max(count, 1))
    return parts(length, SHORTEST, -(-step // SHORTEST) * SHORTEST * SHORTEST)


def matmul(a: Array, b: Array, y: Array) -> None:
    """y (..., m, n) = a (..., m, k) @ b (..., k, n); a and b have all the axes of y."""
    if blas.counters() is None:  # whose threads are not ours to hold back
        np.matmul(a, b, out=y)
        return
    m, n = y.shape[-2:]
    work = y.size * a.shape[-1]
    with blas.one_thread():
        if y.ndim > 2:
            run(lambda part: np.matmul(a[part], b[part], out=y[part]), parts(len(y), work // max(len(y), 1), WORTH))
        elif m >= n:
            run(lambda part: np.matmul(a[part], b, out=y[part]), pieces(m, work))
        else:
            run(lambda part: np.matmul(a, b[:, part], out=y[:, part]), pieces(n, work))
