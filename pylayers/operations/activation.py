"""Elementwise activations y = f(x) and their gradients dx = dy f'(x)."""

from __future__ import annotations

from typing import Any

from pylayers import backends
from pylayers.backends.contract import Activation
from pylayers.operations import checks

Array = Any

# What the gradient of each is computed from: its result or its argument.
ACTIVATIONS: dict[Activation, str] = {
    "relu": "y", "sigmoid": "y", "tanh": "y", "gelu": "x", "gelu_tanh": "x", "silu": "x"
}  # fmt: skip


def saves_result(activation: Activation) -> bool:
    """Whether the gradient needs y (and so can follow an activation fused into another op) rather than x."""
    return ACTIVATIONS[activation] == "y"


def activation_forward(x: Array, activation: Activation) -> Array:
    """y = activation(x), any shape; ValueError listing the names for an unknown one, TypeError for integers."""
    checks.choice("activation", "activation", activation, ACTIVATIONS)
    checks.floating(activation, "x", x)
    return backends.of(activation, x).activation_forward(x, activation)


def activation_backward(dy: Array, saved: Array, activation: Activation) -> Array:
    """dx from dy and y or x, as `saves_result` says; shapes are equal."""
    return backends.of(activation, dy, saved).activation_backward(dy, saved, activation)
