"""The 2-norm of all gradients together."""

from __future__ import annotations

from collections.abc import Iterable

from pylayers.autograd import Tensor
from pylayers.operations.gradient_norm import gradient_norm as norm


def gradient_norm(parameters: Iterable[Tensor] | Tensor) -> Tensor:
    """-> float32 (2,) on the device: the 2-norm of all gradients, and 1 if any element is inf or NaN, else 0.

    ``optimizer.step(norm=gradient_norm(parameters))`` changes nothing when the second is not 0; the host never waits.
    ValueError when no parameter has a gradient.
    """
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return Tensor(norm([p.grad.array for p in listed if p.grad is not None]))
