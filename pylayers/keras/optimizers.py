"""Optimizers under Keras's names and with its defaults; a model's `compile` binds one to its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pylayers import optim
from pylayers.autograd import Tensor
from pylayers.backends.contract import BiasCorrection
from pylayers.errors import expected
from pylayers.keras.registry import find


class FoldedAdam(optim.Adam):
    """Adam with the bias correction in the rate and epsilon beside the uncorrected root, as in Keras."""

    def correction(self, group: dict[str, Any]) -> BiasCorrection:
        return "folded"


class Optimizer:
    """The settings of an optimizer, and, once bound to weights, what updates them."""

    def __init__(self, learning_rate: float, name: str) -> None:
        self.name = name
        self._learning_rate = checked_rate(name, learning_rate)
        self._bound: Any = None

    def create(self, parameters: Sequence[Tensor]) -> Any:
        """The optimizer of `pylayers.optim` that does the work."""
        raise NotImplementedError(f"{type(self).__name__} does not define 'create'")

    def bind(self, parameters: Sequence[Tensor]) -> Any:
        """Starts afresh on these weights."""
        self._bound = self.create(parameters)
        return self._bound

    @property
    def learning_rate(self) -> float:
        """May be set at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = checked_rate(self.name, value)
        if self._bound is not None:
            for group in self._bound.param_groups:
                group["lr"] = self._learning_rate


def checked_rate(op: str, value: object) -> float:
    """A finite number, not negative; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise expected(op, "learning_rate", "a number", repr(value), error=TypeError)
    if not (math.isfinite(value) and value >= 0):
        raise expected(op, "learning_rate", "a finite number, not negative", value)
    return float(value)


class SGD(Optimizer):
    """w -= learning_rate g, with Keras's (Nesterov's) momentum."""

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, *, name: str = "SGD"
    ) -> None:
        super().__init__(learning_rate, name)
        if not 0 <= momentum <= 1:
            raise expected(name, "momentum", "a number in [0, 1]", momentum)
        if nesterov and not momentum:
            raise expected(name, "momentum", "a positive number for Nesterov's momentum", momentum)
        self.momentum, self.nesterov = momentum, nesterov

    def create(self, parameters: Sequence[Tensor]) -> Any:
        return optim.SGD(parameters, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov)


class Adam(Optimizer):
    """Adam with the bias correction folded into the rate, as in Keras: epsilon is added to the uncorrected root."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        name: str = "adam",
    ) -> None:
        super().__init__(learning_rate, name)
        for argument, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise expected(name, argument, "a number in [0, 1)", value)
        if not (math.isfinite(epsilon) and epsilon > 0):
            raise expected(name, "epsilon", "a positive number", epsilon)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def create(self, parameters: Sequence[Tensor]) -> Any:
        return FoldedAdam(parameters, lr=self.learning_rate, betas=(self.beta_1, self.beta_2), eps=self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay: w -= learning_rate weight_decay w before each step."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        name: str = "adamw",
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name=name)
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise expected(name, "weight_decay", "a finite number, not negative", weight_decay)
        self.weight_decay = weight_decay

    def create(self, parameters: Sequence[Tensor]) -> Any:
        return FoldedAdam(
            parameters,
            lr=self.learning_rate,
            betas=(self.beta_1, self.beta_2),
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            decoupled_weight_decay=True,
        )


KNOWN: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def get(identifier: str | Optimizer) -> Optimizer:
    """The optimizer of this name with Keras's defaults, or this optimizer. ValueError lists the names."""
    return identifier if isinstance(identifier, Optimizer) else find("optimizers", "identifier", identifier, KNOWN)()
