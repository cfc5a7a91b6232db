"""Pooling of images (batch, height, width, channels)."""

from __future__ import annotations

from collections.abc import Sequence

from pylayers.autograd import Tensor
from pylayers.functional.pool import MaxPool
from pylayers.keras.layers.layer import Layer, Shape, image_shape, padding_mode, pair, same_padding, windows
from pylayers.operations.pool import Window


class MaxPooling2D(Layer):
    """The largest element of each window, one window every `strides` pixels (`pool_size` unless said otherwise)."""

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        *,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.pool_size = pair(self.name, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(self.name, "strides", strides)
        self.padding = padding_mode(self.name, padding)
        if data_format not in (None, "channels_last"):
            raise NotImplementedError(f"{self.name}: data_format {data_format!r}: only 'channels_last' is there yet")

    def _out(self, sizes: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(
            windows(self.name, size, window, stride, self.padding)
            for size, window, stride in zip(sizes, self.pool_size, self.strides, strict=True)
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = image_shape(self.name, input_shape)
        return (input_shape[0], *self._out((height, width)), channels)

    def call(self, x: Tensor, training: bool) -> Tensor:
        before = (0, 0)
        if self.padding == "same":
            # What lies after needs no number: the count of windows says how far they reach, and padding never wins.
            height, width = (
                same_padding(size, window, stride)[0]
                for size, window, stride in zip(x.shape[1:3], self.pool_size, self.strides, strict=True)
            )
            before = (height, width)
        out = tuple(size for size in self._out(x.shape[1:3]) if size is not None)
        window = Window(self.pool_size, self.strides, before, (1, 1), out)
        y, _ = MaxPool.apply(x.permute(0, 3, 1, 2), window)
        return y.permute(0, 2, 3, 1)


MaxPool2D = MaxPooling2D
