"""The Keras-shaped face: Keras 3's names, defaults and data layout over the same ops."""

from __future__ import annotations

from pylayers import names
from pylayers.keras import (
    activations,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    utils,
)
from pylayers.keras.layers import Input
from pylayers.keras.models import Sequential

__all__ = [
    "Input",
    "Sequential",
    "activations",
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "utils",
]

__getattr__, __dir__ = names.only(__name__, __all__)
