"""Augmentation of images: random shifts by whole pixels."""

from __future__ import annotations

import numpy as np


def shift(x: np.ndarray, rng: np.random.Generator, pixels: int = 1) -> np.ndarray:
    """Each image of x (N, C, H, W) moved by -pixels to +pixels along both axes, what comes in being 0."""
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    down, right = rng.integers(0, 2 * pixels + 1, (2, n))
    rows = (down[:, None] + np.arange(height))[:, :, None]
    columns = (right[:, None] + np.arange(width))[:, None, :]
    shifted = np.empty_like(x, order="C")
    # Indexing with the channels sliced puts them last.
    shifted.transpose(0, 2, 3, 1)[...] = padded[np.arange(n)[:, None, None], :, rows, columns]
    return shifted
