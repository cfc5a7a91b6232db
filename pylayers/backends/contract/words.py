"""The types that signatures of the contract name: arrays, sizes, words, rates."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pylayers.context import Precision

__all__ = [
    "Activation",
    "AdamRates",
    "Array",
    "BiasCorrection",
    "Loss",
    "Pads",
    "Precision",
    "Reduction",
    "SgdRates",
    "Sizes",
]

Array = Any  # numpy.ndarray or cupy.ndarray
Sizes = tuple[int, ...]  # one number for each spatial dimension
Pads = tuple[tuple[int, int], ...]  # (before, after) for each spatial dimension

Activation = Literal["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"]
Loss = Literal["logits", "log_probabilities", "probabilities"]
Reduction = Literal["none", "mean", "sum"]
BiasCorrection = Literal["none", "separate", "folded"]


class SgdRates(NamedTuple):
    """What gradient descent is told beside its tensors, as torch.optim.SGD."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    maximize: bool = False


class AdamRates(NamedTuple):
    """What Adam is told beside its tensors; weight decay joins the gradient, or shrinks p by itself if `decoupled`."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    maximize: bool = False
    bias_correction: BiasCorrection = "separate"
