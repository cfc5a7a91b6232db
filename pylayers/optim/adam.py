"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pylayers.backends.contract import AdamRates, BiasCorrection
from pylayers.errors import expected
from pylayers.operations import checks
from pylayers.operations.adam import adam
from pylayers.optim.optimizer import Group, Optimizer

Array = Any


class Adam(Optimizer):
    """m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p -= lr m / c1 / (sqrt(v / c2) + eps), c = 1 - beta^t.

    torch.optim.Adam's arguments; `foreach`, `capturable`, `differentiable` and `fused` choose nothing here. With
    bias_correction=False c1 = c2 = 1. Weight decay joins g, or shrinks p by lr weight_decay first with
    decoupled_weight_decay. (Kingma and Ba 2015; Loshchilov and Hutter 2019.) ValueError for a rate that is negative or
    not finite and for betas outside [0, 1); NotImplementedError for amsgrad.
    """

    buffers = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay, "bias_correction": bias_correction,
        }  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        name = type(self).__name__
        group["eps"] = checks.number(name, "eps", group["eps"], 0.0, math.inf, "a finite number >= 0")
        betas = tuple(group["betas"])
        if len(betas) != 2:
            raise expected(name, "betas", "two numbers in [0, 1)", group["betas"])
        group["betas"] = tuple(checks.number(name, "betas", beta, 0.0, 1.0, "two numbers in [0, 1)") for beta in betas)
        if group["amsgrad"]:
            raise NotImplementedError(f"{name}: amsgrad=True is not there yet")

    def update(
        self,
        group: Group,
        parameters: list[Array],
        gradients: list[Array],
        state: dict[str, list[Array]],
        norm: Any,
        known: bool,
    ) -> None:
        beta1, beta2 = group["betas"]
        rates = AdamRates(
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["decoupled_weight_decay"],
            group["maximize"],
            self.correction(group),
        )
        adam(parameters, gradients, state["exp_avg"], state["exp_avg_sq"], state["steps"], rates, norm, known)

    def correction(self, group: Group) -> BiasCorrection:
        """How the moments' bias is corrected."""
        return "separate" if group["bias_correction"] else "none"


class AdamW(Adam):
    """Adam whose weight decay, 0.01 by default, shrinks the parameters instead of joining the gradient."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        bias_correction: bool = True,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True, bias_correction=bias_correction,
        )  # fmt: skip
