"""The networks of the command line, for images of any size: a multi-layer perceptron and a small convolutional one."""

from __future__ import annotations

from collections.abc import Callable

from pylayers import nn


def mlp(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """(n, C, H, W) -> logits (n, classes) through two hidden layers of 256 and 128."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, classes),
    )


def cnn(channels: int, height: int, width: int, classes: int) -> nn.Module:
    """(n, C, H, W) -> logits (n, classes): convolutions of 32 and 64 channels, each pooled, a hidden layer of 128.

    Images of fewer than 16 pixels along an axis are pooled once: after a second pooling too little of them is left.
    """
    shrink = 4 if min(height, width) >= 16 else 2
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        *([nn.MaxPool2d(2)] if shrink == 4 else []),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * (height // shrink) * (width // shrink), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )


NETWORKS: dict[str, Callable[[int, int, int, int], nn.Module]] = {"mlp": mlp, "cnn": cnn}
