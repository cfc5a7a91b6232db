"""What a run leaves behind: metrics.csv, curves.png, weights.safetensors."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pylayers.train.fit import Epoch


def write_metrics(path: Path, epochs: Sequence[Epoch]) -> None:
    """One row an epoch: epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Epoch._fields)
        rows.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in epoch] for epoch in epochs)
