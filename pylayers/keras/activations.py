"""Activations by name, as Keras names them; most are fused into the product before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pylayers.autograd import Tensor
from pylayers.backends.contract import Activation as Fused
from pylayers.errors import expected
from pylayers.keras.registry import find
from pylayers.nn import functional


def linear(x: Tensor) -> Tensor:
    """x itself."""
    return x


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis."""
    return functional.softmax(x, -1)


class Activation(NamedTuple):
    """What follows a layer's product: the name that the product's kernel knows, or else a function of the result."""

    name: str
    fused: Fused | None
    function: Callable[[Tensor], Tensor]


KNOWN = {
    "linear": Activation("linear", None, linear),
    "relu": Activation("relu", "relu", functional.relu),
    "sigmoid": Activation("sigmoid", "sigmoid", functional.sigmoid),
    "tanh": Activation("tanh", "tanh", functional.tanh),
    "gelu": Activation("gelu", "gelu", functional.gelu),
    "silu": Activation("silu", "silu", functional.silu),
    "swish": Activation("silu", "silu", functional.silu),
    "softmax": Activation("softmax", None, softmax),
}
relu, sigmoid, tanh, gelu, silu = (KNOWN[name].function for name in ("relu", "sigmoid", "tanh", "gelu", "silu"))


def get(identifier: str | Callable[[Tensor], Tensor] | None) -> Activation:
    """The activation of this name, or this function of a Tensor; None means linear. ValueError lists the names."""
    if identifier is None:
        return KNOWN["linear"]
    if isinstance(identifier, Activation):
        return identifier
    if callable(identifier):
        for known in KNOWN.values():
            if known.function is identifier:
                return known
        return Activation(getattr(identifier, "__name__", "function"), None, identifier)
    return find("activations", "identifier", identifier, KNOWN)


def apply(activation: Activation, x: Tensor) -> Tensor:
    """The activation of a result that was not fused."""
    y = activation.function(x)
    if not isinstance(y, Tensor):
        raise expected(
            activation.name, "activation", "a function from Tensor to Tensor", type(y).__name__, error=TypeError
        )
    return y
