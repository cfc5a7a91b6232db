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


def sigmoid(x: Array, y: Array | None = None) -> Array:
    """y = 1 / (1 + exp(-x)), 0 where exp(-x) overflows."""
    y = np.negative(x, out=y)
    np.exp(y, out=y)
    y += 1
    return np.divide(1, y, out=y)


def normal_cdf(x: Array) -> Array:
    """(1 + erf(x / sqrt 2)) / 2, exact also far in the tail."""
    from scipy.special import ndtr  # 0.1 s to import, and only gelu needs it

    return ndtr(x)


def gelu_tanh_parts(x: Array) -> tuple[Array, Array]:
    """tanh(u) and du/dx of u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    square = x * x
    return np.tanh(GELU_SLOPE * x * (1 + GELU_CUBIC * square)), GELU_SLOPE * (1 + 3 * GELU_CUBIC * square)


def activate(x: Array, activation: Activation, y: Array) -> None:
    """y = activation(x); y may be x."""
    if activation == "relu":
        np.maximum(x, 0, out=y)
    elif activation == "sigmoid":
        sigmoid(x, y)
    elif activation == "tanh":
        np.tanh(x, out=y)
    elif activation == "gelu":
        np.multiply(x, normal_cdf(x), out=y)
    elif activation == "gelu_tanh":
        tanh, _ = gelu_tanh_parts(x)
        tanh += 1
        tanh *= 0.5
        np.multiply(x, tanh, out=y)
    elif activation == "silu":
        np.multiply(x, sigmoid(x), out=y)
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

    elementwise(lambda y, x: activate(x, activation, y), y, x)
    return y


@operation()
def activation_backward(dy: Array, saved: Array, activation: Activation) -> Array:
    """As `contract.Backend.activation_backward`."""
    dx = arrays.empty_like(dy)
    differentiate(dx, dy, saved, activation)
    return dx
