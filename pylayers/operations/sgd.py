"""One step of gradient descent, with momentum if asked for, on a list of tensors, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers import backends
from pylayers.backends.contract import SgdRates
from pylayers.operations.gradient_norm import check_lists, check_steps, check_writable

Array = Any


def sgd(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    momenta: Sequence[Array | None],
    steps: Sequence[Array],
    rates: SgdRates,
    norm: Array | None = None,
) -> None:
    """g += weight_decay p; b = momentum b + (1 - dampening) g (b = g at the first step); p -= lr b, or
    lr (g + momentum b) with `nesterov` (torch.optim.SGD). `momenta` holds b, or None where momentum is 0.

    `steps` and `norm` as in `pylayers.ops.adam.adam`.
    """
    check_lists("sgd", parameters, gradients=gradients, momenta=momenta)
    check_steps("sgd", steps, len(parameters))
    check_writable("sgd", parameters=parameters, momenta=momenta, steps=steps)
    if not parameters:
        return
    backends.of("sgd", *parameters, norm).sgd(parameters, gradients, momenta, steps, rates, norm)
