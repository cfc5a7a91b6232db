"""One step of Adam or AdamW on a list of tensors, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers import backends
from pylayers.backends.contract import AdamRates, BiasCorrection
from pylayers.operations import checks
from pylayers.operations.tensor_lists import check_step

Array = Any

BIAS_CORRECTIONS: tuple[BiasCorrection, ...] = ("none", "separate", "folded")


def adam(
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    steps: Sequence[Array],
    rates: AdamRates,
    norm: Array | None = None,
    known: bool = False,
) -> None:
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, then p moves as `rates.bias_correction` says:

    "separate" p -= lr m / c1 / (sqrt(v / c2) + eps); "folded" p -= lr sqrt(c2) / c1 m / (sqrt(v) + eps); "none"
    p -= lr m / (sqrt(v) + eps); c = 1 - beta^t. Weight decay joins g, or shrinks p by lr weight_decay if `decoupled`.
    `steps` holds int32 (2,) for each tensor; with `norm` from `gradient_norm` a gradient that is not finite leaves
    everything unchanged. No array that changes may have memory in common with another; all are checked, unless they are
    `known` to be those of the step before. (Kingma and Ba 2015; Loshchilov and Hutter 2019.)
    """
    changed = {"parameters": parameters, "exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}
    check_step("adam", gradients, steps, changed, known)
    checks.choice("adam", "bias_correction", rates.bias_correction, BIAS_CORRECTIONS)
    if not parameters:
        return
    backend = backends.of("adam", *(parameters[:1] if known else parameters), norm)
    backend.adam(parameters, gradients, exp_avgs, exp_avg_sqs, steps, rates, norm)
