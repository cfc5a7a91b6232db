"""The handwritten digits that scikit-learn carries: 1,797 images of 8 x 8 pixels, no network needed."""

from __future__ import annotations

import numpy as np

from pylayers.data.images import Images


def digits() -> Images:
    """x (N, 1, 8, 8) float32 in [0, 1] and y (N,) int64: 1,437 images to train, 360 to test, ten classes.

    The split is ``train_test_split(test_size=0.2, stratify=y, random_state=0)``, the same at every call. Source:
    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998).
    ModuleNotFoundError without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError as error:
        message = "digits: the images come with scikit-learn, which is not installed: pip install 'pylayers[train]'"
        raise ModuleNotFoundError(message, name="sklearn") from error
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    return Images(x_train, y_train, x_test, y_test)
