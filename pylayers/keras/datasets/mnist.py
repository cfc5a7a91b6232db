"""MNIST in Keras's form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pylayers.data.mnist_files import NPZ, load, read

Split = tuple[np.ndarray, np.ndarray]


def load_data(path: str = NPZ) -> tuple[Split, Split]:
    """``(x_train, y_train), (x_test, y_test)``: uint8 images (60000, 28, 28) and (10000, 28, 28), labels uint8.

    `path` is a file, absolute or in ``~/.keras/datasets``; without it `data.mnist_files` says where is looked.
    """
    file = Path.home() / ".keras/datasets" / path
    x_train, y_train, x_test, y_test = read(file) if file.is_file() else load()
    return (x_train, y_train), (x_test, y_test)
