"""ReLU, Sigmoid, Tanh, GELU, SiLU, Softmax and LogSoftmax."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Tensor
from pylayers.nn import functional
from pylayers.nn.module import Module


class ReLU(Module):
    """max(x, 0), any shape."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """max(x, 0)."""
        return functional.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x)), any shape."""

    def forward(self, input: Any) -> Tensor:
        """1 / (1 + exp(-x))."""
        return functional.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent, any shape."""

    def forward(self, input: Any) -> Tensor:
        """tanh(x)."""
        return functional.tanh(input)


class GELU(Module):
    """x Phi(x), any shape; approximate="tanh" for the tanh form."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Tensor:
        """x Phi(x)."""
        return functional.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x / (1 + exp(-x)), any shape."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """x / (1 + exp(-x))."""
        return functional.silu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Softmax(Module):
    """exp(x) / sum(exp(x)) along `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """exp(x) / sum(exp(x))."""
        return functional.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax along `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """x - log(sum(exp(x)))."""
        return functional.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
