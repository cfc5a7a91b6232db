"""One ordinary call of every kernel op, or several as op/what: arguments as NumPy arrays, named ones in a last dict."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from pylayers.backends.contract import AdamRates, SgdRates


class Draw:
    """Random arrays of one case, whose name is their seed: the other cases do not change them."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def halves(self, *shape: int) -> np.ndarray:
        return self(*shape).astype(ml_dtypes.bfloat16)

    def labels(self, count: int) -> np.ndarray:
        return self.rng.integers(0, 5, count)


IMAGE = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
WINDOW = (2, 2), (2, 2), (0, 0), (1, 1)
FIRST_PIXELS = np.tile(16 * np.arange(4)[:, None] + 2 * np.arange(4), (2, 3, 1, 1))  # of each window of 8 x 8
TENSORS = [Draw(f"tensor {n}")(n) for n in (3, 0, 5000)]


def like(tensors: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros_like(x) for x in tensors]


def steps() -> list[np.ndarray]:
    return [np.zeros(2, np.int32) for _ in TENSORS]


CASES: dict[str, Callable[[Draw], tuple[Any, ...]]] = {
    "gemm": lambda d: (d(2, 70, 20), d(2, 20, 33), d(33), "relu"),
    "linear": lambda d: (d(3, 5, 20), d(33, 20), d(33), "relu", "float32"),
    "gemm/matrices": lambda d: (d(20, 70), d(33, 20), d(33), {"transpose_a": True, "transpose_b": True}),
    "gemm/16 bits": lambda d: (d.halves(1, 70, 24), d.halves(1, 24, 40), d.halves(40)),
    "gemm/derivative and sums": lambda d: (
        d.halves(2, 64, 72), d.halves(2, 72, 64), None, "gelu", {"saved": d.halves(2, 64, 64), "column_sums": True}
    ),
    "gemm/residual": lambda d: (
        d(1, 30, 20), d(1, 20, 33), {"residual": d(1, 30, 33), "beta": 0.5, "alpha": 2.0}
    ),
    "gemm/long": lambda d: (  # k in parts, with a workspace
        d.halves(1, 16, 4096), d.halves(1, 4096, 16), {"column_sums": True}
    ),
    "column_sum": lambda d: (d(5000, 7, 1),),
    "conv_forward": lambda d: (d(2, 3, 9, 9), d(4, 3, 3, 3), d(4), *IMAGE, "relu"),
    "conv_input_gradient": lambda d: (d(2, 4, 9, 9), d(4, 3, 3, 3), (2, 3, 9, 9), *IMAGE),
    "conv_weight_gradient": lambda d: (d(8, 4, 20, 20), d(8, 3, 20, 20), (4, 3, 3, 3), *IMAGE),
    "max_pool_forward": lambda d: (d(2, 3, 8, 8), *WINDOW, (4, 4)),
    "max_pool_backward": lambda d: (d(2, 3, 4, 4), FIRST_PIXELS, (2, 3, 8, 8), *WINDOW),
    "activation_forward": lambda d: (d(3, 1000), "gelu"),
    "activation_backward": lambda d: (d(3, 1000), d(3, 1000), "gelu"),
    "softmax_forward": lambda d: (d(40, 5), False),
    "softmax_backward": lambda d: (d(40, 5), d(40, 5), True),
    "cross_entropy_forward": lambda d: (d(40, 5), d.labels(40), d(5), -100, 0.1, "mean", "logits", True),
    "cross_entropy_backward": lambda d: (np.broadcast_to(d(1), (40,)), d(40, 5), d(1)),
    "layer_norm_forward": lambda d: (d(40, 5), d(5), d(5), 1e-5),
    "layer_norm_backward": lambda d: (d(2000, 5), d(2000, 5), d(2000), d(2000), d(5)),
    "rms_norm_forward": lambda d: (d(40, 5), d(5), 1e-5),
    "rms_norm_backward": lambda d: (d(2000, 5), d(2000, 5), np.abs(d(2000)), d(5)),
    "attention_forward": lambda d: (d(2, 3, 5, 8), d(2, 3, 7, 8), d(2, 3, 7, 8), d(5, 7), 0.3, 2),
    "attention_backward": lambda d: (
        *(d(2, 3, n, 8) for n in (5, 5, 7, 7, 5)), d(2, 3, 5), d(5, 7), 0.3, 2
    ),
    "dropout": lambda d: (d(3, 1000), 0.5, 1, 2),
    "sgd": lambda d: (TENSORS, like(TENSORS), like(TENSORS), steps(), SgdRates(0.1, 0.9), d(2)),
    "adam": lambda d: (
        TENSORS, like(TENSORS), like(TENSORS), like(TENSORS), steps(), AdamRates(0.1, decoupled=True), d(2)
    ),
    "gradient_norm": lambda d: (TENSORS,),
}  # fmt: skip
OPS: dict[str, tuple[Any, ...]] = {name: make(Draw(name)) for name, make in CASES.items()}
