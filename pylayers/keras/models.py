"""Models under Keras's names."""

from __future__ import annotations

from pylayers.keras.training import Trainer


class Sequential(Trainer):
    """Layers one after the other; `Stack` says how it is built, `Trainer` how it learns."""


__all__ = ["Sequential"]
