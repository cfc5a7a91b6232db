"""Layers that act only while training."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.keras.layers.layer import Layer
from pylayers.nn import functional


class Dropout(Layer):
    """Sets a share `rate` of the elements to 0 and scales the rest by 1 / (1 - rate), while training only."""

    def __init__(self, rate: float, **layer: Any) -> None:
        super().__init__(**layer)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)):
            raise expected(self.name, "rate", "a number in [0, 1]", repr(rate), error=TypeError)
        if not 0 <= rate <= 1:
            raise expected(self.name, "rate", "a number in [0, 1]", rate)
        self.rate = float(rate)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return functional.dropout(x, self.rate, True) if training and self.rate else x
