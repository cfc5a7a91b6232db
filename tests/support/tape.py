"""What the tests of the tape share: small functions with gradients, and torch's words."""

from __future__ import annotations

from typing import Any

import numpy as np

import pylayers
from pylayers.autograd import Record, Tensor


def leaf(*values: float) -> Tensor:
    return pylayers.tensor(list(values), dtype="float64", requires_grad=True)


class Scale(Record):
    """y = x factor, to look at the contract of Record."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, unused: Any = None) -> Any:
        assert isinstance(x, np.ndarray)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        assert isinstance(dy, np.ndarray)
        return dy * ctx.factor


class Halves(Record):
    """Both halves of x and its largest place: several outputs, one of them of integers."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        middle = len(x) // 2
        return x[:middle] * 2, x[middle:] * 3, x.argmax()

    @staticmethod
    def backward(ctx: Any, first: Any, second: Any, place: Any) -> Any:
        assert place is None
        return np.concatenate([first * 2, second * 3])


class Broken(Record):
    """Returns what `result` says as gradients."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, result: Any) -> Any:
        ctx.result = result
        return x + y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return ctx.result(dy)


SECOND_TIME = "Trying to backward through the graph a second time"


MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation"


LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
