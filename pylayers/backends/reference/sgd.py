"""Stochastic gradient descent with momentum, as torch.optim.SGD, in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pylayers.backends.contract import Array, SgdRates
from pylayers.backends.reference.optimizer import Formula, stopped, update


def sgd_formula(
    lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool, maximize: bool, first: bool
) -> Formula:
    """d = g + weight_decay p; m = momentum m + (1 - dampening) d (m = d at first); p -= lr (m or d + momentum m)."""

    def formula(scratch: Array, gradient: Array, parameter: Array, m: Array | None = None) -> None:
        changed, s = scratch
        d = np.negative(gradient, out=changed) if maximize else gradient
        if weight_decay:
            d = np.add(d, np.multiply(parameter, weight_decay, out=s), out=changed)
        if m is not None:
            if first:
                m[...] = d
            else:
                m *= momentum
                m += np.multiply(d, 1 - dampening, out=s)
            if nesterov:
                d = np.add(d, np.multiply(m, momentum, out=s), out=changed)
            else:
                d = m
        parameter -= np.multiply(d, lr, out=s)

    return formula


def sgd(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    momenta: Sequence[Array | None],
    steps: Sequence[Array],
    rates: SgdRates,
    norm: Array | None = None,
) -> None:
    """As `contract.Backend.sgd`."""
    if stopped(norm):
        return
    for parameter, gradient, m, step in zip(parameters, gradients, momenta, steps, strict=True):
        first = int(step[0]) == 0
        formula = sgd_formula(*rates, first)
        update(formula, gradient, [parameter] if m is None else [parameter, m])
        step[0] += 1
