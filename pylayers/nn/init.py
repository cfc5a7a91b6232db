"""Initialisation of parameters under torch.nn.init's names: every function fills a tensor in place and returns it.

The numbers are drawn on the host in float64, so that a seed gives the same weights in every dtype and on every device.
"""

from __future__ import annotations

import math
from typing import Any

from pylayers import creation
from pylayers.autograd import Tensor, increment_version
from pylayers.errors import expected
from pylayers.nn.parameter import Parameter
from pylayers.operations import checks
from pylayers.operations.array import to_device
from pylayers.random import default_generator

# sqrt of 1 / E[f(z)^2] for z ~ N(0, 1), which keeps the variance through the nonlinearity; torch's table.
GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}


def parameter(shape: tuple[int, ...], device: str | None = None, dtype: Any = None) -> Parameter:
    """A parameter of any content, for the functions below to fill."""
    return Parameter(creation.empty(shape, dtype=dtype, device=device))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much the nonlinearity shrinks a normal input; `param` is the slope of leaky_relu, 0.01 by default."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else float(param)) ** 2))
    if nonlinearity.startswith("conv"):
        return 1.0
    checks.choice("calculate_gain", "nonlinearity", nonlinearity, (*GAINS, "leaky_relu"))
    return GAINS[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """U(a, b)."""
    return _fill(tensor, to_device(default_generator.rng.uniform(a, b, tensor.shape), tensor.device))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std^2)."""
    return _fill(tensor, to_device(default_generator.rng.normal(mean, std, tensor.shape), tensor.device))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    return _fill(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _fill(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _fill(tensor, 1)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", tensor))))


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """U(-b, b), b = gain sqrt(3 / fan); `a` is the slope of leaky_relu (He et al. 2015)."""
    bound = math.sqrt(3.0) * _kaiming("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan); `a` is the slope of leaky_relu (He et al. 2015)."""
    return normal_(tensor, 0.0, _kaiming("kaiming_normal_", tensor, a, mode, nonlinearity))


def _kaiming(op: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    """The standard deviation gain / sqrt(fan)."""
    checks.choice(op, "mode", mode, ("fan_in", "fan_out"))
    fan = _fans(op, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def _fans(op: str, tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output depends on, and the reverse, for weight (out, in, *window)."""
    _require_tensor(tensor)
    if tensor.ndim < 2:
        raise expected(op, "tensor", "two axes or more (out, in, ...)", f"shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _require_tensor(tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise expected("init", "tensor", "a Tensor", type(tensor).__name__, error=TypeError)


def _fill(tensor: Tensor, values: Any) -> Tensor:
    _require_tensor(tensor)
    tensor.array[...] = values
    increment_version(tensor)
    return tensor
