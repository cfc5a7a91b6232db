"""One ordinary call of every kernel op, or several as op/what: arguments as NumPy arrays, named ones in a last dict."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from pylayers.backends.contract import AdamRates, SgdRates

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def halves(*shape: int) -> np.ndarray:
    return floats(*shape).astype(ml_dtypes.bfloat16)


IMAGE = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
WINDOW = (2, 2), (2, 2), (0, 0), (1, 1)
LABELS = rng.integers(0, 5, 40)
ROWS = floats(2000, 5)
TENSORS = [floats(n) for n in (3, 0, 5000)]


def like(tensors: list[np.ndarray]) -> list[np.ndarray]:
    return [np.zeros_like(x) for x in tensors]


def steps() -> list[np.ndarray]:
    return [np.zeros(2, np.int32) for _ in TENSORS]


OPS: dict[str, tuple[Any, ...]] = {
    "gemm": (floats(2, 70, 20), floats(2, 20, 33), floats(33), "relu"),
    "linear": (floats(3, 5, 20), floats(33, 20), floats(33), "relu", "float32"),
    "gemm/matrices": (floats(20, 70), floats(33, 20), floats(33), {"transpose_a": True, "transpose_b": True}),
    "gemm/16 bits": (halves(1, 70, 24), halves(1, 24, 40), halves(40)),
    "gemm/derivative and sums": (
        halves(2, 64, 72), halves(2, 72, 64), None, "gelu", {"saved": halves(2, 64, 64), "column_sums": True}
    ),
    "gemm/residual": (floats(1, 30, 20), floats(1, 20, 33), {"residual": floats(1, 30, 33), "beta": 0.5, "alpha": 2.0}),
    "gemm/long": (halves(1, 16, 4096), halves(1, 4096, 16), {"column_sums": True}),  # k in parts, with a workspace
    "column_sum": (floats(5000, 7, 1),),
    "conv_forward": (floats(2, 3, 9, 9), floats(4, 3, 3, 3), floats(4), *IMAGE, "relu"),
    "conv_input_gradient": (floats(2, 4, 9, 9), floats(4, 3, 3, 3), (2, 3, 9, 9), *IMAGE),
    "conv_weight_gradient": (floats(8, 4, 20, 20), floats(8, 3, 20, 20), (4, 3, 3, 3), *IMAGE),
    "max_pool_forward": (floats(2, 3, 8, 8), *WINDOW, (4, 4)),
    "max_pool_backward": (floats(2, 3, 4, 4), np.zeros((2, 3, 4, 4), np.int64), (2, 3, 8, 8), *WINDOW),
    "activation_forward": (floats(3, 1000), "gelu"),
    "activation_backward": (floats(3, 1000), floats(3, 1000), "gelu"),
    "softmax_forward": (floats(40, 5), False),
    "softmax_backward": (floats(40, 5), floats(40, 5), True),
    "cross_entropy_forward": (floats(40, 5), LABELS, floats(5), -100, 0.1, "mean", "logits", True),
    "cross_entropy_backward": (np.broadcast_to(floats(1), (40,)), floats(40, 5), floats(1)),
    "layer_norm_forward": (floats(40, 5), floats(5), floats(5), 1e-5),
    "layer_norm_backward": (floats(2000, 5), ROWS, ROWS.mean(axis=1), 1 / ROWS.std(axis=1), floats(5)),
    "attention_forward": (floats(2, 3, 5, 8), floats(2, 3, 7, 8), floats(2, 3, 7, 8), floats(5, 7), 0.3, 2),
    "attention_backward": (
        *(floats(2, 3, n, 8) for n in (5, 5, 7, 7, 5)), floats(2, 3, 5), floats(5, 7), 0.3, 2
    ),
    "dropout": (floats(3, 1000), 0.5, 1, 2),
    "sgd": (TENSORS, like(TENSORS), like(TENSORS), steps(), SgdRates(0.1, 0.9), floats(2)),
    "adam": (TENSORS, like(TENSORS), like(TENSORS), like(TENSORS), steps(), AdamRates(0.1, decoupled=True), floats(2)),
    "gradient_norm": (TENSORS,),
}  # fmt: skip
