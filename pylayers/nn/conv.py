"""Conv1d, Conv2d, Conv3d."""

from __future__ import annotations

import math
from typing import Any

from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.nn import functional, init
from pylayers.nn.module import Module
from pylayers.nn.parameter import Parameter
from pylayers.operations import checks


class Convolution(Module):
    """What Conv1d, Conv2d and Conv3d share: `rank` is the number of spatial axes.

    weight (out_channels, in_channels / groups, *kernel_size) and bias (out_channels,) start from
    U(-1/sqrt(f), 1/sqrt(f)), f = in_channels / groups * prod(kernel_size).
    """

    rank: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.in_channels = checks.whole(op, "in_channels", in_channels, 1)
        self.out_channels = checks.whole(op, "out_channels", out_channels, 1)
        self.groups = checks.whole(op, "groups", groups, 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise expected(op, name, f"a multiple of groups {groups}", channels)
        self.kernel_size = checks.sizes(op, "kernel_size", kernel_size, self.rank, 1)
        self.stride = checks.sizes(op, "stride", stride, self.rank, 1)
        self.dilation = checks.sizes(op, "dilation", dilation, self.rank, 1)
        self.padding = padding if isinstance(padding, str) else checks.sizes(op, "padding", padding, self.rank, 0)
        if isinstance(padding, str):
            checks.choice(op, "padding", padding, ("same", "valid"))
            if padding == "same" and any(step != 1 for step in self.stride):
                raise expected(op, "padding", "an integer for a strided convolution", "'same'")
        checks.choice(op, "padding_mode", padding_mode, ("zeros", "reflect", "replicate", "circular"))
        if padding_mode != "zeros":
            raise NotImplementedError(f"{op}: padding_mode '{padding_mode}' is not there yet; there is 'zeros'")
        self.padding_mode = padding_mode
        self.weight = init.parameter((out_channels, in_channels // groups, *self.kernel_size), device, dtype)
        self.register_parameter("bias", init.parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Tensor:
        """input (N, in_channels, *S) or (in_channels, *S) -> (N, out_channels, *P) or (out_channels, *P)."""
        function = (functional.conv1d, functional.conv2d, functional.conv3d)[self.rank - 1]
        return function(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        if self.padding != (0,) * self.rank:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.rank:
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class Conv1d(Convolution):
    """Cross-correlation of (N, C, L) or (C, L); see `Convolution`."""

    rank = 1


class Conv2d(Convolution):
    """Cross-correlation of (N, C, H, W) or (C, H, W); see `Convolution`."""

    rank = 2


class Conv3d(Convolution):
    """Cross-correlation of (N, C, D, H, W) or (C, D, H, W); see `Convolution`."""

    rank = 3
