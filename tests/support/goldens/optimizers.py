"""The optimizers that are compared with torch: options, and a problem with curvature for them to work on."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 100

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd_default": ("SGD", {}),
    "sgd_momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "sgd_dampening": ("SGD", {"lr": 0.02, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd_nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    "sgd_maximize": ("SGD", {"lr": 1e-3, "momentum": 0.5, "maximize": True}),
    "adam": ("Adam", {}),
    "adam_fast": ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adam_decay": ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    "adam_decoupled": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adam_maximize": ("Adam", {"lr": 1e-3, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw_decay": ("AdamW", {"lr": 0.02, "weight_decay": 0.3}),
}

SHAPES = ((3, 4), (5,), (), (2, 1, 3))


def start() -> list[np.ndarray]:
    """The first iterate, one array for each shape."""
    rng = np.random.default_rng(20)
    return [np.asarray(rng.normal(size=shape)) for shape in SHAPES]


def gradient(step: int, index: int, p: np.ndarray) -> np.ndarray:
    """Of a quadratic of its own curvature for each element, with noise that follows from the step."""
    curvature = 0.5 + np.arange(p.size).reshape(p.shape) / max(p.size, 1)
    noise = np.sin(np.arange(p.size).reshape(p.shape) * 7.0 + step * 1.3 + index)
    return curvature * (p - 0.3 * index) + 0.1 * noise
