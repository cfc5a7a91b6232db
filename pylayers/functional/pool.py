"""max_pool1d/2d/3d and avg_pool1d/2d/3d."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Record, Tensor
from pylayers.functional.conv import batched
from pylayers.operations.pool import Window, average_pool, average_pool_backward, max_pool, max_pool_backward, window

Array = Any


class MaxPool(Record):
    """The largest element of each window of x (N, C, *S), and where it stood."""

    @staticmethod
    def forward(ctx: Any, x: Array, how: Window) -> tuple[Array, Array]:
        y, indices = max_pool(x, how)
        ctx.window, ctx.x_shape = how, x.shape
        ctx.save(indices)
        return y, indices

    @staticmethod
    def backward(ctx: Any, dy: Array, _: Any = None) -> tuple[Array, None]:
        return max_pool_backward(dy, ctx.saved[0], ctx.x_shape, ctx.window), None


class AveragePool(Record):
    """The mean of each window of x (N, C, *S)."""

    @staticmethod
    def forward(ctx: Any, x: Array, how: Window, count_padding: bool) -> Array:
        ctx.window, ctx.x_shape, ctx.count_padding = how, x.shape, count_padding
        return average_pool(x, how, count_padding)

    @staticmethod
    def backward(ctx: Any, dy: Array) -> tuple[Array, None, None]:
        return average_pool_backward(dy, ctx.x_shape, ctx.window, ctx.count_padding), None, None


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, L) or (C, L); see `max_pool2d`."""
    return _max_pool(1, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, H, W) or (C, H, W); stride None means kernel_size.

    Padding never wins; the first of equal elements and any NaN do. With `return_indices` also the int64 positions in
    the flattened plane. ValueError for a window larger than the padded input and for padding above half of it.
    """
    return _max_pool(2, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of input (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _max_pool(3, input, (kernel_size, stride, padding, dilation, ceil_mode), return_indices)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of input (N, C, L) or (C, L); see `avg_pool2d`."""
    return _average_pool(1, input, (kernel_size, stride, padding), ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of input (N, C, H, W) or (C, H, W); stride None means kernel_size.

    Padding counts as zeros unless count_include_pad=False. NotImplementedError for ceil_mode and divisor_override.
    """
    return _average_pool(2, input, (kernel_size, stride, padding), ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of input (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _average_pool(3, input, (kernel_size, stride, padding), ceil_mode, count_include_pad, divisor_override)


def _max_pool(rank: int, input: Any, how: tuple[Any, Any, Any, Any, bool], return_indices: bool) -> Any:
    op = f"max_pool{rank}d"
    x, single = batched(op, input, rank)
    y, indices = MaxPool.apply(x, window(op, x.array, *how))
    if single:
        y, indices = y[0], indices[0]
    return (y, indices) if return_indices else y


def _average_pool(
    rank: int, input: Any, how: tuple[Any, Any, Any], ceil_mode: bool, count_padding: bool, divisor: int | None
) -> Tensor:
    op = f"avg_pool{rank}d"
    if ceil_mode or divisor is not None:
        raise NotImplementedError(f"{op}: ceil_mode and divisor_override are not there yet")
    x, single = batched(op, input, rank)
    y = AveragePool.apply(x, window(op, x.array, *how), count_padding)
    return y[0] if single else y
