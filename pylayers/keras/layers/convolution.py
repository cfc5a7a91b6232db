"""Convolution of images (batch, height, width, channels), whose memory the ops see with the channels second."""

from __future__ import annotations

from collections.abc import Sequence

from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.keras import activations, initializers
from pylayers.keras.layers.core import Identifier
from pylayers.keras.layers.layer import Layer, Shape, image_shape, padding_mode, pair, same_padding, whole, windows
from pylayers.nn import functional


class Conv2D(Layer):
    """x (batch, H, W, C), kernel (R, S, C / groups, filters), bias (filters,) -> (batch, H', W', filters)."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        groups: int = 1,
        activation: Identifier = None,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        *,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape)
        self.filters = whole(self.name, "filters", filters)
        self.kernel_size = pair(self.name, "kernel_size", kernel_size)
        self.strides = pair(self.name, "strides", strides)
        self.dilation_rate = pair(self.name, "dilation_rate", dilation_rate)
        self.padding = padding_mode(self.name, padding)
        if data_format not in (None, "channels_last"):
            raise NotImplementedError(f"{self.name}: data_format {data_format!r}: only 'channels_last' is there yet")
        self.groups = whole(self.name, "groups", groups)
        if self.filters % self.groups:
            raise expected(self.name, "groups", f"a divisor of the {self.filters} filters", self.groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    @property
    def reach(self) -> tuple[int, int]:
        """The pixels a kernel spans along each axis."""
        (r, s), (down, right) = self.kernel_size, self.dilation_rate
        return down * (r - 1) + 1, right * (s - 1) + 1

    def build(self, input_shape: Shape) -> None:
        channels = image_shape(self.name, input_shape)[2]
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self._kernel = self.add_weight("kernel", self.kernel_initializer(shape), (3, 2, 0, 1))
        self._bias: Tensor | None = None
        if self.use_bias:
            self._bias = self.add_weight("bias", self.bias_initializer((self.filters,)), (0,))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        height, width, channels = image_shape(self.name, input_shape)
        if channels % self.groups:
            raise expected(self.name, "x", f"channels that {self.groups} groups divide", f"shape {input_shape}")
        if self.built and channels != self.kernel.shape[2] * self.groups:
            wanted = f"{self.kernel.shape[2] * self.groups} channels on the last axis"
            raise expected(self.name, "x", wanted, f"shape {input_shape}")
        out = [
            windows(self.name, size, reach, stride, self.padding)
            for size, reach, stride in zip((height, width), self.reach, self.strides, strict=True)
        ]
        return (input_shape[0], *out, self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        padding = ((0, 0), (0, 0))
        if self.padding == "same":
            height, width = (
                same_padding(size, reach, stride)
                for size, reach, stride in zip(x.shape[1:3], self.reach, self.strides, strict=True)
            )
            padding = (height, width)
        y = functional.conv2d(
            x.permute(0, 3, 1, 2),
            self._kernel,
            self._bias,
            self.strides,
            padding,
            self.dilation_rate,
            self.groups,
            activation=self.activation.fused,
        ).permute(0, 2, 3, 1)
        return y if self.activation.fused else activations.apply(self.activation, y)
