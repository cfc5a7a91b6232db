"""Linear: y = x weight^T + bias; Identity and Flatten and Unflatten beside it."""

from __future__ import annotations

import math
from typing import Any

from pylayers.autograd import Tensor
from pylayers.functional.shape import as_tensor
from pylayers.nn import functional, init
from pylayers.nn.module import Module
from pylayers.nn.parameter import Parameter
from pylayers.operations import checks


class Identity(Module):
    """y = x, whatever the arguments of the constructor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """x as it is."""
        return input


class Linear(Module):
    """y = x weight^T + bias: x (..., in_features) -> (..., out_features).

    weight (out_features, in_features) and bias (out_features,) start from U(-1/sqrt(in_features), 1/sqrt(in_features)).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features = checks.whole("Linear", "in_features", in_features, 1)
        self.out_features = checks.whole("Linear", "out_features", out_features, 1)
        self.weight = init.parameter((out_features, in_features), device, dtype)
        self.register_parameter("bias", init.parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Tensor:
        """input (..., in_features) -> (..., out_features)."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Joins the axes start_dim to end_dim; by default all but the batch."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Tensor:
        """The same elements in fewer axes."""
        return functional.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits axis `dim` into the axes of `unflattened_size`, of which one may be -1."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Any) -> Tensor:
        """The same elements in more axes."""
        x = as_tensor("Unflatten", input)
        axis = checks.axis("Unflatten", "dim", self.dim, x.ndim)
        return x.reshape(*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
