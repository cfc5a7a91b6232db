"""How the learning rate changes over a run."""

from __future__ import annotations

import math


def cosine(progress: float, warmup: float = 0.05) -> float:
    """The factor of the rate after this share of the run: linear up to 1 during `warmup`, then half a cosine down to 0.

    I. Loshchilov and F. Hutter, SGDR (2017), equation 5, without restarts.
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
