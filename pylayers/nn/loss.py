"""CrossEntropyLoss, NLLLoss, MSELoss, L1Loss, BCELoss and BCEWithLogitsLoss."""

from __future__ import annotations

from typing import Any

from pylayers.autograd import Tensor
from pylayers.backends.contract import Reduction
from pylayers.nn import functional
from pylayers.nn.module import Module
from pylayers.operations import checks
from pylayers.operations.cross_entropy import REDUCTIONS


class Loss(Module):
    """What the losses share: `weight`, a buffer if given, and `reduction` "none", "mean" or "sum"."""

    weight: Any

    def __init__(self, weight: Any = None, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        checks.choice(type(self).__name__, "reduction", reduction, REDUCTIONS)
        self.reduction: Reduction = reduction
        self.register_buffer("weight", _constant(weight))


class CrossEntropyLoss(Loss):
    """-log softmax(input)[target]; see `pylayers.nn.functional.cross_entropy`."""

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = checks.number(
            "CrossEntropyLoss", "label_smoothing", label_smoothing, 0.0, 1.0 + 1e-15, "a number in [0, 1]"
        )

    def forward(self, input: Any, target: Any) -> Tensor:
        """Logits (N, C, ...) and class indices (N, ...), or class probabilities of the logits' shape."""
        return functional.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """-input[target] for logarithms of probabilities; see `pylayers.nn.functional.nll_loss`."""

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log-probabilities (N, C, ...) and class indices (N, ...)."""
        return functional.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(Loss):
    """(input - target)^2, any shape, the same for both."""

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Both of one shape and dtype."""
        return functional.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """|input - target|, any shape, the same for both."""

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Both of one shape and dtype."""
        return functional.l1_loss(input, target, reduction=self.reduction)


class BCELoss(Loss):
    """-(t log x + (1 - t) log(1 - x)) for probabilities x; see `pylayers.nn.functional.binary_cross_entropy`."""

    def forward(self, input: Any, target: Any) -> Tensor:
        """Both of one shape and dtype, input in [0, 1]."""
        return functional.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """BCELoss of sigmoid(input), without overflow; pos_weight multiplies the term of the target."""

    pos_weight: Any

    def __init__(self, weight: Any = None, *, reduction: Reduction = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight, reduction=reduction)
        self.register_buffer("pos_weight", _constant(pos_weight))

    def forward(self, input: Any, target: Any) -> Tensor:
        """Both of one shape and dtype."""
        return functional.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


def _constant(weight: Any) -> Tensor | None:
    return weight if weight is None or isinstance(weight, Tensor) else Tensor(weight)
