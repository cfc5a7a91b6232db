"""The ops over lists of tensors behind the compiled module: one launch for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pylayers.backends.native_memory import alike, new, stream
from pylayers.backends.protocol import AdamRates, SgdRates

Array = Any


def list_workspace(module: Any, beside: Array, count: int) -> Array:
    """Memory for the work list of `count` tensors."""
    return new(beside, (module.tensor_list_bytes(count),), "uint8")


class OptimizerKernels:
    """Part of `Native`."""

    module: Any

    def sgd(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        momenta: Sequence[Array | None],
        steps: Sequence[Array],
        rates: SgdRates,
        norm: Array | None = None,
    ) -> None:
        if not parameters:
            return
        gradients = [alike(g, p) for g, p in zip(gradients, parameters, strict=True)]
        lists = [[x for x in tensors if x is not None] for tensors in (parameters, gradients, momenta, steps)]
        space = list_workspace(self.module, parameters[0], len(parameters))
        choices = norm, space, self.module.SgdRates(*rates)
        self.module.sgd(*lists, *choices, stream(parameters[0]))

    def adam(
        self,
        parameters: Sequence[Array],
        gradients: Sequence[Array],
        exp_avgs: Sequence[Array],
        exp_avg_sqs: Sequence[Array],
        steps: Sequence[Array],
        rates: AdamRates,
        norm: Array | None = None,
    ) -> None:
        if not parameters:
            return
        gradients = [alike(g, p) for g, p in zip(gradients, parameters, strict=True)]
        tensors = parameters, gradients, exp_avgs, exp_avg_sqs, steps
        space = list_workspace(self.module, parameters[0], len(parameters))
        choices = norm, space, self.module.AdamRates(*rates)
        self.module.adam(*tensors, *choices, stream(parameters[0]))

    def gradient_norm(self, gradients: Sequence[Array]) -> Array:
        norm = new(gradients[0], (2,))
        partial = new(norm, (self.module.gradient_norm_workspace_bytes([g.size for g in gradients]),), "uint8")
        space = list_workspace(self.module, norm, len(gradients))
        self.module.gradient_norm(gradients, norm, space, partial, stream(norm))
        return norm
