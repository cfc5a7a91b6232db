"""Dense layers, inputs and activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pylayers.autograd import Tensor
from pylayers.errors import expected
from pylayers.keras import activations, initializers
from pylayers.keras.layers.layer import Layer, Shape, whole
from pylayers.nn import functional

Identifier = str | Callable[[Tensor], Tensor] | None


class InputLayer(Layer):
    """Says the shape of a model's input, without the batch; does nothing else."""

    def __init__(self, shape: Sequence[int | None], *, name: str | None = None) -> None:
        super().__init__(name=name, input_shape=shape)
        self.built = True

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x


def Input(shape: Sequence[int | None], *, name: str | None = None) -> InputLayer:
    """The first entry of a Sequential that says the shape of one example."""
    return InputLayer(shape, name=name)


class Dense(Layer):
    """y = activation(x kernel + bias) over the last axis: x (batch, ..., in), kernel (in, units), bias (units,)."""

    def __init__(
        self,
        units: int,
        activation: Identifier = None,
        use_bias: bool = True,
        kernel_initializer: str | initializers.Initializer = "glorot_uniform",
        bias_initializer: str | initializers.Initializer = "zeros",
        *,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
    ) -> None:
        super().__init__(name=name, input_shape=input_shape, input_dim=input_dim)
        self.units = whole(self.name, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        assert features is not None
        self._kernel = self.add_weight("kernel", self.kernel_initializer((features, self.units)), (1, 0))
        self._bias: Tensor | None = None
        if self.use_bias:
            self._bias = self.add_weight("bias", self.bias_initializer((self.units,)), (0,))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise expected(self.name, "x", "shape (batch, ..., features)", input_shape)
        if self.built and input_shape[-1] != self.kernel.shape[0]:
            raise expected(self.name, "x", f"{self.kernel.shape[0]} features on the last axis", f"shape {input_shape}")
        return (*input_shape[:-1], self.units)

    def call(self, x: Tensor, training: bool) -> Tensor:
        y = functional.linear(x, self._kernel, self._bias, activation=self.activation.fused)
        return y if self.activation.fused else activations.apply(self.activation, y)


class Activation(Layer):
    """An activation by name, or any function of a Tensor."""

    def __init__(self, activation: Identifier, **layer: Any) -> None:
        super().__init__(**layer)
        self.activation = activations.get(activation)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return activations.apply(self.activation, x)


class ReLU(Layer):
    """max(x, 0)."""

    def call(self, x: Tensor, training: bool) -> Tensor:
        return functional.relu(x)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over an axis, the last unless said otherwise."""

    def __init__(self, axis: int = -1, **layer: Any) -> None:
        super().__init__(**layer)
        self.axis = axis

    def call(self, x: Tensor, training: bool) -> Tensor:
        return functional.softmax(x, self.axis)
