"""Dropout."""

from __future__ import annotations

import math
from typing import Any

from pylayers.autograd import Tensor
from pylayers.nn import functional
from pylayers.nn.module import Module
from pylayers.operations import checks


class Dropout(Module):
    """In training sets elements to 0 with probability p and scales the rest by 1 / (1 - p); in evaluation y = x."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = checks.number("Dropout", "p", p, 0.0, math.nextafter(1.0, 2.0), "a probability in [0, 1]")
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape; a new mask at every call."""
        return functional.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
