"""Elementwise activations and their derivatives."""

from __future__ import annotations

import math

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Activation, Array
from pylayers.backends.reference.parallel import elementwise
from pylayers.backends.reference.precision import keep, operation

GELU_SLOPE = math.sqrt(2 / math.pi)  # Hendrycks and Gimpel, arXiv:1606.08415
GELU_CUBIC = 0.044715


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def normal_cdf(x: Array) -> Array:
    """(1 + erf(x / sqrt 2)) / 2, exact also far in the tail."""
    from scipy.special import ndtr  # 0.1 s to import, and only gelu needs it

    return ndtr(x)


def gelu_tanh_parts(x: Array) -> tuple[Array, Array]:
    """tanh(u) and du/dx of u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    square = x * x
    return np.tanh(GELU_SLOPE * x * (1 + GELU_CUBIC * square)), GELU_SLOPE * (1 + 3 * GELU_CUBIC * square)


def activate(x: Array, activation: Activation) -> None:
    """x = activation(x), in place."""
    if activation == "relu":
        np.maximum(x, 0, out=x)
    elif activation == "sigmoid":
        x[...] = sigmoid(x)
    elif activation == "tanh":
        np.tanh(x, out=x)
    elif activation == "gelu":
        x *= normal_cdf(x)
    elif activation == "gelu_tanh":
        tanh, _ = gelu_tanh_parts(x)
        x *= 0.5 * (1 + tanh)
    elif activation == "silu":
        x *= sigmoid(x)
    else:
        raise NotImplementedError(f"activation '{activation}' has no reference formula")


def derivative(saved: Array, activation: Activation) -> Array:
    """activation'(.) of all but relu, whose derivative must hide what it multiplies."""
    if activation == "sigmoid":
        return saved * (1 - saved)
    if activation == "tanh":
        return 1 - saved * saved
    if activation == "gelu":
        return normal_cdf(saved) + saved * np.exp(-0.5 * saved * saved) / math.sqrt(2 * math.pi)
    if activation == "gelu_tanh":
        tanh, slope = gelu_tanh_parts(saved)
        return 0.5 * (1 + tanh) + 0.5 * saved * (1 - tanh * tanh) * slope
    if activation == "silu":
        s = sigmoid(saved)
        return s * (1 + saved * (1 - s))
    raise NotImplementedError(f"activation '{activation}' has no reference derivative")


def differentiate(dx: Array, dy: Array, saved: Array, activation: Activation) -> None:
    """dx = dy activation'(.); dx may be dy."""

    def work(dx: Array, dy: Array, saved: Array) -> None:
        if activation == "relu":
            keep(dy, ~(saved <= 0), dx)  # not saved > 0: NaN lets the gradient pass, as in torch
        else:
            np.multiply(dy, derivative(saved, activation), out=dx)

    elementwise(work, dx, dy, saved)


@operation()
def activation_forward(x: Array, activation: Activation) -> Array:
    """As `contract.Backend.activation_forward`."""
    y = arrays.empty_like(x)

    def work(y: Array, x: Array) -> None:
        y[...] = x
        activate(y, activation)

    elementwise(work, y, x)
    return y


@operation()
def activation_backward(dy: Array, saved: Array, activation: Activation) -> Array:
    """As `contract.Backend.activation_backward`."""
    dx = arrays.empty_like(dy)
    differentiate(dx, dy, saved, activation)
    return dx
