"""Clipping of gradients by their common norm: `pylayers.nn.utils` under torch's name."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from pylayers import arrays
from pylayers.autograd import Tensor, increment_version
from pylayers.operations import checks
from pylayers.operations.gradient_norm import gradient_norm


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scales the gradients in place so that their common 2-norm is at most max_norm; -> the norm before, float32 ().

    As torch.nn.utils.clip_grad_norm_: the factor is max_norm / (norm + 1e-6), at most 1; parameters without a gradient
    count nothing, and where none has one the norm is 0. NotImplementedError for another norm_type.
    """
    if norm_type != 2:
        raise NotImplementedError(f"clip_grad_norm_: norm_type {norm_type} is not there yet; there is 2")
    max_norm = checks.number("clip_grad_norm_", "max_norm", max_norm, 0.0, math.inf, "a finite number >= 0")
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients = [p.grad for p in listed if p.grad is not None]
    if not gradients:
        return Tensor(np.zeros((), np.float32))
    norm = gradient_norm([grad.array for grad in gradients])[0]
    factor = arrays.namespace(norm).minimum(max_norm / (norm + 1e-6), 1.0)
    for grad in gradients:
        grad.array *= factor.astype(grad.dtype)
        increment_version(grad)
    return Tensor(norm)
