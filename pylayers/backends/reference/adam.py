"""Adam (Kingma and Ba, arXiv:1412.6980), AdamW (Loshchilov and Hutter, arXiv:1711.05101)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pylayers.backends.contract import AdamRates, Array
from pylayers.backends.reference.optimizer import Formula, stopped, update


def adam_formula(
    rate: float, beta1: float, beta2: float, eps: float, coupled: float, shrink: float, maximize: bool
) -> Formula:
    """g += coupled p; p *= shrink; m = beta1 m + (1 - beta1) g; v likewise of g^2; p -= rate m / (sqrt(v) + eps)."""

    def formula(scratch: Array, gradient: Array, parameter: Array, m: Array, v: Array) -> None:
        g, s = gradient, scratch[0]
        if maximize:
            g = np.negative(g, out=scratch[1])
        if coupled:
            g = np.add(g, np.multiply(parameter, coupled, out=s), out=scratch[1])
        if shrink != 1:
            parameter *= shrink
        np.subtract(g, m, out=s)
        s *= 1 - beta1
        m += s
        np.multiply(g, g, out=s)
        s *= 1 - beta2
        v *= beta2
        v += s
        np.sqrt(v, out=s)
        s += eps
        np.divide(m, s, out=s)
        s *= rate
        parameter -= s

    return formula


def adam(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    steps: Sequence[Array],
    rates: AdamRates,
    norm: Array | None = None,
) -> None:
    """As `contract.Backend.adam`."""
    if stopped(norm):
        return
    lr, beta1, beta2, eps, weight_decay, decoupled, maximize, bias_correction = rates
    coupled, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    for parameter, gradient, m, v, step in zip(parameters, gradients, exp_avgs, exp_avg_sqs, steps, strict=True):
        t = int(step[0]) + 1
        # m / c1 / (sqrt(v / c2) + eps) = sqrt(c2) / c1 m / (sqrt(v) + sqrt(c2) eps): all three kinds are one formula.
        root2 = math.sqrt(1 - beta2**t)
        rate = lr if bias_correction == "none" else lr * root2 / (1 - beta1**t)
        margin = eps * root2 if bias_correction == "separate" else eps
        update(adam_formula(rate, beta1, beta2, margin, coupled, shrink, maximize), gradient, [parameter, m, v])
        step[0] = t
