"""A stack of layers: its shapes, its weights, its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from pylayers import arrays, serialization
from pylayers.autograd import Tensor
from pylayers.errors import CheckpointError, expected
from pylayers.keras.layers import Activation, Dense, InputLayer, Layer, Softmax
from pylayers.keras.layers.layer import Shape, Weight, as_numbers, automatic_name
from pylayers.keras.summary import print_summary


class Stack:
    """Layers one after the other, each fed with the result of the one before.

    The shape of the input comes from an `Input`, from the first layer's `input_shape`, or from the first data seen;
    then the weights are made.
    """

    def __init__(self, layers: Sequence[Layer] | None = None, name: str | None = None) -> None:
        self.name = name if name is not None else automatic_name(type(self).__name__)
        self.device = "cpu"
        self._layers: list[Layer] = []
        self._shape: Shape | None = None
        self._update: Any = None
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Puts a layer on top; TypeError for what is none, ValueError for a name or a layer that is already there."""
        if not isinstance(layer, Layer):
            what = layer.__name__ + " (a class)" if isinstance(layer, type) else type(layer).__name__
            raise expected(self.name, "layer", "a layer", what, error=TypeError)
        if any(layer.name == known.name for known in self._layers):
            raise expected(self.name, "layer", "a name that no other layer has", repr(layer.name))
        if isinstance(layer, InputLayer) and self._layers:
            raise expected(self.name, "layer", "an input only as the first layer", f"number {len(self._layers) + 1}")
        shape = self.output_shape if self.built else None
        if shape is not None:
            layer.build_once(shape)
        self._layers.append(layer)
        self._update = None
        if len(self._layers) == 1 and layer.input_shape is not None:
            self.build_once(layer.input_shape)

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    @property
    def built(self) -> bool:
        """Whether the weights are there."""
        return self._shape is not None

    @property
    def input_shape(self) -> Shape | None:
        """With the batch as None; None before the shape is known."""
        return self._shape

    @property
    def output_shape(self) -> Shape:
        """With the batch as None."""
        shape = self._known("output_shape")
        for layer in self._layers:
            shape = layer.compute_output_shape(shape)
        return shape

    @property
    def normalized(self) -> bool:
        """Whether the outputs of each example sum to 1 because a softmax over the last axis made them."""
        if not self._layers:
            return False
        last = self._layers[-1]
        if isinstance(last, Softmax):
            return last.axis in (-1, len(self.output_shape) - 1)
        return isinstance(last, (Dense, Activation)) and last.activation.name == "softmax"

    def _known(self, what: str) -> Shape:
        if self._shape is None:
            hint = "give the first layer an 'input_shape', start with an Input, or fit the model"
            raise ValueError(f"{self.name}: '{what}' needs the shape of the input, which is not known yet; {hint}")
        return self._shape

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights for inputs of this shape, the batch first, as None."""
        self.build_once(tuple(input_shape))

    def build_once(self, input_shape: Shape) -> None:
        """Builds all layers unless that was done before."""
        if self.built:
            return
        if not self._layers:
            raise expected(self.name, "layers", "one layer or more", "none")
        shape = input_shape
        for layer in self._layers:
            layer.build_once(shape)
            shape = layer.compute_output_shape(shape)
        self._shape = input_shape

    def __call__(self, x: Any, training: bool = False) -> Tensor:
        """The output for a Tensor or an array, cast to float32."""
        if not isinstance(x, Tensor):
            x = as_numbers(self.name, "x", x).astype(np.float32, copy=False)
            x = Tensor(arrays.library_of(self.device).namespace.asarray(x))
        self.build_once((None, *x.shape[1:]))
        for layer in self._layers:
            x = layer.call(x, training)
        return x

    def to(self, device: str) -> None:
        """Moves the weights to ``"cpu"`` or ``"cuda"``; an optimizer starts afresh there."""
        if device.partition(":")[0] == self.device.partition(":")[0]:
            return
        for weight in self.weights:
            weight.parameter.data = weight.parameter.detach().to(device)
        self.device, self._update = device, None

    @property
    def weights(self) -> list[Weight]:
        """The weights of all layers, in order."""
        return [weight for layer in self._layers for weight in layer.weights]

    trainable_weights = weights

    def count_params(self) -> int:
        """The number of weights' elements; ValueError before the input's shape is known."""
        self._known("count_params")
        return sum(layer.count_params() for layer in self._layers)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights in Keras's layouts: dense (in, out), convolution (R, S, in / groups, out)."""
        return [array for layer in self._layers for array in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copies arrays in Keras's layouts into the weights, all or nothing.

        ValueError for another number of them or another shape, TypeError for what holds no real numbers.
        """
        if len(weights) != len(self.weights):
            raise expected(self.name, "weights", f"{len(self.weights)} arrays", len(weights))
        rest = [as_numbers(self.name, "weights", value) for value in weights]
        for weight, value in zip(self.weights, rest, strict=True):
            if value.shape != weight.view.shape:
                raise expected(self.name, weight.name, f"shape {weight.view.shape}", value.shape)
        for layer in self._layers:
            count = len(layer.weights)
            layer.set_weights(rest[:count])
            rest = rest[count:]

    def _named(self) -> list[str]:
        return [f"layers.{i}.{weight.name}" for i, layer in enumerate(self.layers) for weight in layer.weights]

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights in Keras's layouts as safetensors, named ``layers.<number>.kernel`` and so on."""
        self._known("save_weights")
        serialization.save(dict(zip(self._named(), self.get_weights(), strict=True)), path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Reads what `save_weights` wrote; CheckpointError for a file that is broken or of another model."""
        self._known("load_weights")
        found = serialization.load(path)
        wanted = dict(zip(self._named(), self.weights, strict=True))
        if set(found) != set(wanted):
            missing, unexpected = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
            raise CheckpointError(f"load_weights: {path}: missing {missing}, unexpected {unexpected}")
        for name, weight in wanted.items():
            if tuple(found[name].shape) != weight.view.shape:
                shapes = f"expected shape {weight.view.shape}, got {tuple(found[name].shape)}"
                raise CheckpointError(f"load_weights: {path}: '{name}': {shapes}")
        self.set_weights([np.asarray(found[name]) for name in wanted])

    def summary(self) -> None:
        """Prints the layers with their output shapes and numbers of weights."""
        print_summary(self.name, self.layers, self._shape)
