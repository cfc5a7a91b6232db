"""A data set of labelled images, split into what trains and what tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """Images are float32 (N, C, H, W) in [0, 1]; labels int64 (N,) from 0 to classes - 1."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1
