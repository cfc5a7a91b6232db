"""Changes of shape."""

from __future__ import annotations

import math

from pylayers.autograd import Tensor
from pylayers.keras.layers.layer import Layer, Shape


class Flatten(Layer):
    """(batch, ...) -> (batch, product of the rest), in the order of Keras's layout."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = input_shape[1:]
        return input_shape[0], None if None in sizes else math.prod(size for size in sizes if size is not None)

    def call(self, x: Tensor, training: bool) -> Tensor:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))
