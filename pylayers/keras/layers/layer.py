"""What every Keras layer is: a name, an input shape, weights shown in Keras's layout, and `call`."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pylayers import arrays, dtypes
from pylayers.autograd import Tensor
from pylayers.errors import expected

Shape = tuple[int | None, ...]  # with the batch first, as None

_numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


def automatic_name(kind: str) -> str:
    """The next free name for this class: ``dense``, ``dense_1``, ``max_pooling2d``."""
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])(?!D$)", "_", kind).lower()
    number = next(_numbers[stem])
    return f"{stem}_{number}" if number else stem


class Weight(NamedTuple):
    """A trained array, in the layout of the ops, and the order of its axes in Keras's layout."""

    name: str
    parameter: Tensor
    axes: tuple[int, ...]

    @property
    def view(self) -> Any:
        """The same memory in Keras's layout."""
        return self.parameter.array.transpose(self.axes)


class Layer:
    """A layer is built, that is gets its weights, when it first learns the shape of its input.

    `input_shape` (without the batch) or `input_dim` may say it at once.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
    ) -> None:
        self.name = name if name is not None else automatic_name(type(self).__name__)
        if input_dim is not None:
            if input_shape is not None:
                raise expected(self.name, "input_dim", "either 'input_dim' or 'input_shape'", "both")
            input_shape = (input_dim,)
        self.input_shape: Shape | None = None if input_shape is None else batch_shape(self.name, input_shape)
        self.built = False
        self._weights: list[Weight] = []

    def build(self, input_shape: Shape) -> None:
        """Makes the weights for an input of this shape."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the result; ValueError for an input that the layer cannot take."""
        return input_shape

    def call(self, x: Tensor, training: bool) -> Tensor:
        """The result for x; `training` says whether layers such as dropout are active."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'call'")

    def __call__(self, x: Any, training: bool = False) -> Tensor:
        """The result for a Tensor or array, cast to float32; builds the layer at the first call."""
        x = x if isinstance(x, Tensor) else Tensor(as_numbers(self.name, "x", x).astype(np.float32))
        if not self.built:
            self.build_once((None, *x.shape[1:]))
        self.compute_output_shape((None, *x.shape[1:]))
        return self.call(x, training)

    def build_once(self, input_shape: Shape) -> None:
        """Checks the shape and builds the layer unless that was done before."""
        self.compute_output_shape(input_shape)
        if not self.built:
            self.input_shape = input_shape
            self.build(input_shape)
            self.built = True

    def add_weight(self, name: str, value: np.ndarray, axes: Sequence[int]) -> Tensor:
        """A parameter from its value in Keras's layout; `axes` are Keras's axes in the order of the ops."""
        parameter = Tensor(np.ascontiguousarray(value.transpose(axes)), requires_grad=True)
        self._weights.append(Weight(name, parameter, tuple(np.argsort(axes).tolist())))
        return parameter

    @property
    def weights(self) -> list[Weight]:
        """The layer's weights in Keras's order: kernel, bias."""
        return self._weights

    @property
    def kernel(self) -> Any:
        """The kernel in Keras's layout, a view: writing to it changes the layer."""
        return self._view("kernel")

    @property
    def bias(self) -> Any:
        """The bias, a view."""
        return self._view("bias")

    def _view(self, name: str) -> Any:
        for weight in self._weights:
            if weight.name == name:
                return weight.view
        state = "has none" if self.built else "is not built"
        raise AttributeError(f"{self.name}: no '{name}': the layer {state}")

    def count_params(self) -> int:
        """The number of weights' elements."""
        return sum(weight.parameter.array.size for weight in self._weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights in Keras's layout."""
        return [
            np.array(weight.parameter.detach().cpu().numpy().transpose(weight.axes), order="C")
            for weight in self._weights
        ]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copies arrays in Keras's layout into the weights; ValueError for another number or another shape."""
        if len(weights) != len(self._weights):
            raise expected(self.name, "weights", f"{len(self._weights)} arrays", len(weights))
        values = [as_numbers(self.name, "weights", value) for value in weights]
        for weight, value in zip(self._weights, values, strict=True):
            if value.shape != weight.view.shape:
                raise expected(self.name, weight.name, f"shape {weight.view.shape}", value.shape)
        for weight, value in zip(self._weights, values, strict=True):
            view = weight.view
            view[...] = arrays.namespace(view).asarray(value)


def as_numbers(op: str, name: str, x: Any) -> np.ndarray:
    """A host array of numbers; TypeError for anything else, NotImplementedError for an `Input` or another layer."""
    if isinstance(x, Layer):
        hint = "stack the layers instead: models.Sequential([Input(...), Dense(...), ...])"
        raise NotImplementedError(f"{op}: called on {x.name!r}: the functional API is not there yet; {hint}")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise expected(op, name, "an array of numbers", f"{type(x).__name__} ({error})", error=TypeError) from error
    if not dtypes.is_real(array.dtype):
        raise expected(op, name, "an array of numbers", f"dtype {array.dtype}", error=TypeError)
    return array


def batch_shape(op: str, shape: Sequence[int | None]) -> Shape:
    """A shape without its batch -> the shape with it."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for size in sizes:
        if size is not None and (isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1):
            raise expected(op, "input_shape", "positive integers or None", shape)
    return (None, *(size if size is None else int(size) for size in sizes))


def whole(op: str, name: str, value: object) -> int:
    """A positive integer; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise expected(op, name, "an integer", repr(value), error=TypeError)
    if value < 1:
        raise expected(op, name, "a positive integer", int(value))
    return int(value)


def pair(op: str, name: str, value: object) -> tuple[int, int]:
    """One positive integer for both image axes, or one for each."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(sizes) != 2:
        raise expected(op, name, "one integer or two", value)
    return whole(op, name, sizes[0]), whole(op, name, sizes[1])


def padding_mode(op: str, value: object) -> str:
    """``"valid"`` or ``"same"``, whatever its case; ValueError otherwise."""
    mode = value.lower() if isinstance(value, str) else value
    if mode not in ("valid", "same"):
        raise expected(op, "padding", "'valid' or 'same'", repr(value))
    return str(mode)


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """(before, after) so that ceil(size / stride) windows fit; of an odd sum more lies after, as in Keras."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def windows(op: str, size: int | None, window: int, stride: int, padding: str) -> int | None:
    """How many windows fit along an axis; ValueError when none does."""
    if size is None:
        return None
    count = -(-size // stride) if padding == "same" else (size - window) // stride + 1
    if count < 1:
        raise expected(op, "x", f"an image of at least {window} pixels along each axis", size)
    return count


def image_shape(op: str, shape: Shape) -> tuple[int | None, int | None, int]:
    """Height, width and channels of (batch, height, width, channels)."""
    if len(shape) != 4 or shape[3] is None:
        raise expected(op, "x", "shape (batch, height, width, channels)", shape)
    return shape[1], shape[2], shape[3]
