"""LayerNorm and RMSNorm."""

from __future__ import annotations

import math
from typing import Any

from pylayers.autograd import Tensor
from pylayers.nn import functional, init
from pylayers.nn.module import Module
from pylayers.nn.parameter import Parameter
from pylayers.operations import checks
from pylayers.operations.norm import normalized


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) weight + bias over the last axes, x (..., *normalized_shape).

    weight starts at 1, bias at 0; elementwise_affine=False has neither, bias=False has no bias.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = normalized("LayerNorm", normalized_shape)
        self.eps = checks.number("LayerNorm", "eps", eps, math.ulp(0.0), what="a positive number")
        self.elementwise_affine = elementwise_affine
        for name, there in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(name, init.parameter(self.normalized_shape, device, dtype) if there else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Tensor:
        """input (..., *normalized_shape) -> the same shape."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) weight over the last axes, x (..., *normalized_shape).

    weight starts at 1, elementwise_affine=False has none; eps None as in `functional.rms_norm`.
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = normalized("RMSNorm", normalized_shape)
        self.eps = (
            None if eps is None else checks.number("RMSNorm", "eps", eps, math.ulp(0.0), what="a positive number")
        )
        self.elementwise_affine = elementwise_affine
        weight = init.parameter(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Tensor:
        """input (..., *normalized_shape) -> the same shape."""
        return functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
