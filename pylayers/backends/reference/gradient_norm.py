"""The 2-norm of all gradients together, and whether one of them is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pylayers.backends.contract import Array
from pylayers.backends.reference.optimizer import CHUNK
from pylayers.backends.reference.parallel import parts
from pylayers.backends.reference.precision import widened


def gradient_norm(gradients: Sequence[Array]) -> Array:
    """As `contract.Backend.gradient_norm`."""
    largest, total, finite = 0.0, 0.0, True  # total is the sum of (g / largest)^2, which cannot overflow
    with np.errstate(all="ignore"):
        for gradient in gradients:
            flat = gradient.reshape(-1)
            for chunk in parts(flat.size, 1, CHUNK):
                g = widened(flat[chunk]).astype(np.float64)
                peak = float(np.abs(g).max())
                finite = finite and math.isfinite(peak)
                if peak > largest:
                    total *= (largest / peak) ** 2
                    largest = peak
                if largest > 0:
                    g /= largest
                    total += float(g @ g)
        return np.array([largest * math.sqrt(total) if finite else math.nan, not finite], np.float32)
