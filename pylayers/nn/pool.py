"""MaxPool1d/2d/3d and AvgPool1d/2d/3d."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Tensor
from pylayers.nn import functional
from pylayers.nn.module import Module


class MaxPool(Module):
    """What MaxPool1d, MaxPool2d and MaxPool3d share: the largest element of each window.

    stride is kernel_size by default; padding never wins.
    """

    rank: int

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Any:
        """input (N, C, *S) or (C, *S) -> the maxima, with return_indices also their positions."""
        function = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[self.rank - 1]
        return function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation},"
            f" ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(MaxPool):
    """The largest element of each window of (N, C, L) or (C, L)."""

    rank = 1


class MaxPool2d(MaxPool):
    """The largest element of each window of (N, C, H, W) or (C, H, W)."""

    rank = 2


class MaxPool3d(MaxPool):
    """The largest element of each window of (N, C, D, H, W) or (C, D, H, W)."""

    rank = 3


class AvgPool(Module):
    """What AvgPool1d, AvgPool2d and AvgPool3d share: the mean of each window; stride is kernel_size by default."""

    rank: int

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Tensor:
        """input (N, C, *S) or (C, *S) -> the means."""
        function = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[self.rank - 1]
        return function(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(AvgPool):
    """The mean of each window of (N, C, L) or (C, L)."""

    rank = 1


class AvgPool2d(AvgPool):
    """The mean of each window of (N, C, H, W) or (C, H, W)."""

    rank = 2


class AvgPool3d(AvgPool):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W)."""

    rank = 3
