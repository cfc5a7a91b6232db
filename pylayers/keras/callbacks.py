"""What is told of a training as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylayers.keras.training import Trainer


class Callback:
    """Override what you want to hear of; setting ``self.model.stop_training`` ends the training after the epoch."""

    model: Trainer

    def set_model(self, model: Trainer) -> None:
        """Called before the training begins."""
        self.model = model

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """After the last epoch, with its metrics."""

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """With the epoch's metrics, those of the validation under ``val_`` names."""


class History(Callback):
    """The metrics of every epoch: `history` maps a name to one number for each epoch, `epoch` holds their indices."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
