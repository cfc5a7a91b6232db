"""SGD: gradient descent, with momentum, dampening, Nesterov's form and weight decay as options."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pylayers.autograd import Tensor
from pylayers.backends.contract import SgdRates
from pylayers.operations import checks
from pylayers.operations.sgd import sgd
from pylayers.optim.optimizer import Group, Optimizer

Array = Any


class SGD(Optimizer):
    """g += weight_decay p; b = momentum b + (1 - dampening) g (b = g at first); p -= lr b, or lr (g + momentum b).

    torch.optim.SGD's arguments; `foreach`, `differentiable` and `fused` choose nothing here. ValueError for a rate that
    is negative or not finite, and for `nesterov` without momentum or with dampening.
    """

    buffers = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        group["momentum"] = checks.number("SGD", "momentum", group["momentum"], 0.0, math.inf, "a finite number >= 0")
        group["dampening"] = checks.number("SGD", "dampening", group["dampening"], -math.inf)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def kept(self, group: Group) -> tuple[str, ...]:
        return self.buffers if group["momentum"] else ()

    def exported(self, state: dict[str, Array]) -> dict[str, Tensor]:
        exported = super().exported(state)
        del exported["step"]  # as torch, which needs it for nothing but the first step
        return exported

    def update(
        self,
        group: Group,
        parameters: list[Array],
        gradients: list[Array],
        state: dict[str, list[Array]],
        norm: Any,
        known: bool,
    ) -> None:
        momenta = state.get("momentum_buffer", [None] * len(parameters))
        rates = SgdRates(
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            bool(group["nesterov"]),
            bool(group["maximize"]),
        )
        sgd(parameters, gradients, momenta, state["steps"], rates, norm, known)
