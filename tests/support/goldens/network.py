"""A small network of every layer that has weights, built from either library's nn."""

from __future__ import annotations

from typing import Any


def network(nn: Any) -> Any:
    """(N, 2, 8, 8) -> (N, 5)."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 8, (3, 2), stride=(1, 2), groups=2, bias=False),
        nn.GELU(),
        nn.Flatten(),
        nn.Sequential(nn.LayerNorm(32), nn.Dropout(0.0), nn.Linear(32, 12), nn.Tanh()),
        nn.Linear(12, 5),
        nn.LogSoftmax(dim=1),
    )
