"""Initial weights as Keras draws them, with the fans of Keras's layouts: dense (in, out), convolution (*R, in, out)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pylayers.errors import expected
from pylayers.keras.registry import find
from pylayers.random import default_generator

Shape = tuple[int, ...]
Initializer = Callable[[Shape], np.ndarray]
# The standard deviation of a unit normal cut off at two deviations.
TRUNCATED_DEVIATION = 0.87962566103423978


class Zeros:
    """All 0."""

    def __call__(self, shape: Shape) -> np.ndarray:
        return np.zeros(shape, np.float32)


class Ones:
    """All 1."""

    def __call__(self, shape: Shape) -> np.ndarray:
        return np.ones(shape, np.float32)


class _Random:
    """A distribution drawn from a generator of its own, or from the one that `pylayers.manual_seed` seeds."""

    def __init__(self, seed: int | None) -> None:
        self._own = None if seed is None else np.random.default_rng(seed)

    @property
    def rng(self) -> np.random.Generator:
        return self._own if self._own is not None else default_generator.rng


class RandomUniform(_Random):
    """U(minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Shape) -> np.ndarray:
        return self.rng.uniform(self.minval, self.maxval, shape).astype(np.float32)


class RandomNormal(_Random):
    """N(mean, stddev²)."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: Shape) -> np.ndarray:
        return self.rng.normal(self.mean, self.stddev, shape).astype(np.float32)


class VarianceScaling(_Random):
    """Variance scale / fan, where the mode says which fan: ``"fan_in"``, ``"fan_out"`` or their mean ``"fan_avg"``.

    ``"uniform"`` draws from U(±√(3 scale / fan)), ``"truncated_normal"`` from a normal cut off at two deviations.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise expected("VarianceScaling", "mode", "'fan_in', 'fan_out' or 'fan_avg'", repr(mode))
        if distribution not in ("uniform", "truncated_normal"):
            raise expected("VarianceScaling", "distribution", "'uniform' or 'truncated_normal'", repr(distribution))
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def __call__(self, shape: Shape) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return self.rng.uniform(-limit, limit, shape).astype(np.float32)
        drawn = self.rng.standard_normal(shape)
        while (outside := np.abs(drawn) > 2).any():
            drawn[outside] = self.rng.standard_normal(int(outside.sum()))
        return (drawn * (math.sqrt(variance) / TRUNCATED_DEVIATION)).astype(np.float32)


class GlorotUniform(VarianceScaling):
    """U(±√(6 / (fan_in + fan_out))). X. Glorot and Y. Bengio (2010)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """U(±√(6 / fan_in)). K. He et al. (2015)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / fan_in."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


def fans(shape: Shape) -> tuple[float, float]:
    """fan_in and fan_out of a weight in Keras's layout (*R, in, out)."""
    if len(shape) < 2:
        return (float(shape[0]),) * 2 if shape else (1.0, 1.0)
    receptive = math.prod(shape[:-2])
    return float(receptive * shape[-2]), float(receptive * shape[-1])


KNOWN: dict[str, type] = {
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "random_uniform": RandomUniform,
    "random_normal": RandomNormal,
    "zeros": Zeros,
    "ones": Ones,
}


def get(identifier: str | Initializer) -> Initializer:
    """The initializer of this name, or this function of a shape. ValueError lists the names."""
    return identifier if callable(identifier) else find("initializers", "identifier", identifier, KNOWN)()
