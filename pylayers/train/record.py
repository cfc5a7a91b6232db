"""What a run leaves behind: metrics.csv and weights.safetensors as it goes, curves.png at its end."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from pylayers import atomic, nn, serialization
from pylayers.errors import expected
from pylayers.train.curves import write_curves
from pylayers.train.loop import Epoch

WEIGHTS, METRICS, CURVES = "weights.safetensors", "metrics.csv", "curves.png"


def check(folder: Path) -> None:
    """Raises before the training what would otherwise be found out after it: nothing is written yet.

    OSError for a folder that cannot be written to or made, ImportError without matplotlib, which draws the curves.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        message = f"train: {CURVES} is drawn by matplotlib, which is not installed: pip install 'pylayers[train]'"
        raise ModuleNotFoundError(message, name="matplotlib") from error
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise expected("train", "out", "a folder that can be written to", str(folder), error=OSError)
    for name in (WEIGHTS, METRICS, CURVES):
        if (folder / name).exists() and not (folder / name).is_file():
            raise expected("train", "out", "a folder in which files can be written", str(folder / name), error=OSError)


def save(folder: Path, epochs: Sequence[Epoch], model: nn.Module) -> None:
    """Writes the weights as they are, and the metrics of the epochs so far; each file is whole at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    serialization.save(model.state_dict(), folder / WEIGHTS)
    write_metrics(folder / METRICS, epochs)


def finish(folder: Path, epochs: Sequence[Epoch], model: nn.Module, title: str) -> list[str]:
    """Writes everything, the curves too if an epoch was finished; -> the names of the files."""
    save(folder, epochs, model)
    if not epochs:
        return [WEIGHTS, METRICS]
    write_curves(folder / CURVES, epochs, title)
    return [WEIGHTS, METRICS, CURVES]


def write_metrics(path: Path, epochs: Sequence[Epoch]) -> None:
    """One row an epoch: epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(Epoch._fields)
    rows.writerows([f"{value:.6g}" if isinstance(value, float) else value for value in epoch] for epoch in epochs)
    atomic.write(path, text.getvalue().encode())
