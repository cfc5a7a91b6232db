"""One ordinary call of every function of `pylayers.ops`: name, NumPy arguments, named arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from pylayers import ops
from pylayers.backends.contract import AdamRates, SgdRates

rng = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def steps() -> list[np.ndarray]:
    return [np.zeros(2, np.int32) for _ in range(2)]


TENSORS = [floats(5), floats(2, 3)]
CONV = ops.geometry(floats(4, 3, 3, 3), 1, 1)
WINDOW = ops.window("max_pool2d", floats(2, 3, 8, 8), 2)
LABELS = rng.integers(0, 5, 40)
LOSS, NORMALIZER, SLOPE = ops.cross_entropy(floats(40, 5), LABELS)
POOLED, PLACES = ops.max_pool(floats(2, 3, 8, 8), WINDOW)
NORMED, MOMENTS = ops.layer_norm(floats(6, 5), 5)
HEADS = floats(2, 3, 5, 8), floats(2, 3, 7, 8), floats(2, 3, 7, 8)
PROBLEM = ops.problem(*HEADS, floats(5, 7))
MIXED, LSE = ops.attention(PROBLEM)

# fmt: off
CALLS: dict[str, tuple[Any, ...]] = {
    "activation_backward": (floats(3, 4), floats(3, 4), "gelu"),
    "activation_forward": (floats(3, 4), "gelu"),
    "adam": (TENSORS, [floats(5), floats(2, 3)], [np.zeros_like(x) for x in TENSORS],
             [np.zeros_like(x) for x in TENSORS], steps(), AdamRates(0.1)),
    "add_matmul": ("addmm", floats(5), floats(3, 4), floats(4, 5), 0.5, 2.0),
    "add_matmul_backward": (floats(3, 5), (5,), 1.0),
    "attention": (PROBLEM,),
    "attention_backward": (floats(2, 3, 5, 8), PROBLEM, MIXED, LSE, tuple(x.shape for x in HEADS)),
    "conv": (floats(2, 3, 9, 9), floats(4, 3, 3, 3), floats(4), CONV, "relu"),
    "conv_backward": (floats(2, 4, 9, 9), floats(2, 3, 9, 9), (2, 3, 9, 9), floats(4, 3, 3, 3), CONV),
    "cross_entropy": (floats(40, 5), LABELS, floats(5)),
    "cross_entropy_backward": (np.asarray(floats(1)[0]), SLOPE, NORMALIZER, (40, 5)),
    "dropout": (floats(3, 4), 0.5, 1, 2),
    "einsum": ("bij,bjk->bki", floats(2, 3, 4), floats(2, 4, 5)),
    "elementwise_loss": (floats(3, 4), floats(3, 4), "binary_cross_entropy_with_logits", np.abs(floats(4))),
    "elementwise_loss_backward": (floats(3, 4), floats(3, 4), floats(3, 4), "mse"),
    "gradient_norm": (TENSORS,),
    "layer_norm": (floats(6, 5), 5, floats(5), floats(5)),
    "layer_norm_backward": (floats(6, 5), floats(6, 5), MOMENTS, floats(5), 5),
    "linear": (floats(2, 3, 4), floats(5, 4), floats(5), "relu"),
    "linear_backward": (floats(3, 5), floats(3, 4), floats(5, 4)),
    "matmul": (floats(2, 3, 4), floats(2, 4, 5)),
    "matmul_backward": (floats(2, 3, 5), floats(2, 3, 4), floats(2, 4, 5)),
    "max_pool": (floats(2, 3, 8, 8), WINDOW),
    "max_pool_backward": (POOLED, PLACES, (2, 3, 8, 8), WINDOW),
    "problem": (*HEADS, floats(5, 7)),
    "sgd": (TENSORS, [floats(5), floats(2, 3)], [np.zeros_like(x) for x in TENSORS], steps(), SgdRates(0.1, 0.9)),
    "softmax": (floats(3, 4), 0),
    "softmax_backward": (floats(3, 4), floats(3, 4), 0, True),
}
# Without a kernel, or without arrays in what they return.
NO_KERNEL: dict[str, tuple[Any, ...]] = {
    "average_pool": (floats(2, 3, 8, 8), WINDOW),
    "average_pool_backward": (POOLED, (2, 3, 8, 8), WINDOW),
    "geometry": (floats(4, 3, 3, 3),),
    "window": ("max_pool2d", floats(2, 3, 8, 8), 2),
}
GLUE = ("elementwise_loss", "elementwise_loss_backward")  # computed by the arrays' own library
# fmt: on
