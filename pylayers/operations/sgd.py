"""One step of gradient descent, with momentum if asked for, on a list of tensors, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers import backends
from pylayers.backends.contract import SgdRates
from pylayers.operations.tensor_lists import check_step

Array = Any


def sgd(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    momenta: Sequence[Array | None],
    steps: Sequence[Array],
    rates: SgdRates,
    norm: Array | None = None,
    known: bool = False,
) -> None:
    """g += weight_decay p; b = momentum b + (1 - dampening) g (b = g at the first step); p -= lr b, or
    lr (g + momentum b) with `nesterov` (torch.optim.SGD). `momenta` holds b, or None for a tensor without one, whose
    b is g.

    `steps`, which here count the steps that b has taken, `norm` and `known` as in `pylayers.operations.adam.adam`.
    """
    check_step("sgd", gradients, steps, {"parameters": parameters, "momenta": momenta}, known)
    if not parameters:
        return
    backend = backends.of("sgd", *(parameters[:1] if known else parameters), norm)
    absent = [m is None for m in momenta]
    if all(absent) or not any(absent):
        backend.sgd(parameters, gradients, momenta, steps, rates, norm)
        return
    for without in (False, True):  # a kernel's lists have a momentum for each tensor, or for none
        p, g, m, s = (
            [x for x, lacks in zip(xs, absent, strict=True) if lacks is without]
            for xs in (parameters, gradients, momenta, steps)
        )
        backend.sgd(p, g, m, s, rates, norm)
