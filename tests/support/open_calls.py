"""One ordinary call of every function of `pylayers.ops`: name, NumPy arguments, named arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from op_cases import Draw

from pylayers import ops
from pylayers.backends.contract import AdamRates, SgdRates


def steps() -> list[np.ndarray]:
    return [np.zeros(2, np.int32) for _ in range(2)]


SHARED = Draw("shared")
TENSORS = [SHARED(5), SHARED(2, 3)]
CONV = ops.geometry(SHARED(4, 3, 3, 3), 1, 1)
WINDOW = ops.window("max_pool2d", SHARED(2, 3, 8, 8), 2)
LABELS = SHARED.labels(40)
LOSS, NORMALIZER, SLOPE = ops.cross_entropy(SHARED(40, 5), LABELS)
POOLED, PLACES = ops.max_pool(SHARED(2, 3, 8, 8), WINDOW)
NORMED, MOMENTS = ops.layer_norm(SHARED(6, 5), 5)
HEADS = SHARED(2, 3, 5, 8), SHARED(2, 3, 7, 8), SHARED(2, 3, 7, 8)
PROBLEM = ops.problem(*HEADS, SHARED(5, 7))
MIXED, LSE = ops.attention(PROBLEM)

# fmt: off
_CALLS: dict[str, Callable[[Draw], tuple[Any, ...]]] = {
    "activation_backward": lambda d: (d(3, 4), d(3, 4), "gelu"),
    "activation_forward": lambda d: (d(3, 4), "gelu"),
    "adam": lambda d: (TENSORS, [d(5), d(2, 3)], [np.zeros_like(x) for x in TENSORS],
             [np.zeros_like(x) for x in TENSORS], steps(), AdamRates(0.1)),
    "add_matmul": lambda d: ("addmm", d(5), d(3, 4), d(4, 5), 0.5, 2.0),
    "add_matmul_backward": lambda d: (d(3, 5), (5,), 1.0),
    "attention": lambda d: (PROBLEM,),
    "attention_backward": lambda d: (d(2, 3, 5, 8), PROBLEM, MIXED, LSE, tuple(x.shape for x in HEADS)),
    "conv": lambda d: (d(2, 3, 9, 9), d(4, 3, 3, 3), d(4), CONV, "relu"),
    "conv_backward": lambda d: (d(2, 4, 9, 9), d(2, 3, 9, 9), (2, 3, 9, 9), d(4, 3, 3, 3), CONV),
    "cross_entropy": lambda d: (d(40, 5), LABELS, d(5)),
    "cross_entropy_backward": lambda d: (np.asarray(d(1)[0]), SLOPE, NORMALIZER, (40, 5)),
    "dropout": lambda d: (d(3, 4), 0.5, 1, 2),
    "einsum": lambda d: ("bij,bjk->bki", d(2, 3, 4), d(2, 4, 5)),
    "elementwise_loss": lambda d: (d(3, 4), d(3, 4), "binary_cross_entropy_with_logits", np.abs(d(4))),
    "elementwise_loss_backward": lambda d: (d(3, 4), d(3, 4), d(3, 4), "mse"),
    "gradient_norm": lambda d: (TENSORS,),
    "layer_norm": lambda d: (d(6, 5), 5, d(5), d(5)),
    "layer_norm_backward": lambda d: (d(6, 5), d(6, 5), MOMENTS, d(5), 5),
    "linear": lambda d: (d(2, 3, 4), d(5, 4), d(5), "relu"),
    "linear_backward": lambda d: (d(3, 5), d(3, 4), d(5, 4)),
    "matmul": lambda d: (d(2, 3, 4), d(2, 4, 5)),
    "matmul_backward": lambda d: (d(2, 3, 5), d(2, 3, 4), d(2, 4, 5)),
    "max_pool": lambda d: (d(2, 3, 8, 8), WINDOW),
    "max_pool_backward": lambda d: (POOLED, PLACES, (2, 3, 8, 8), WINDOW),
    "problem": lambda d: (*HEADS, d(5, 7)),
    "rms_norm": lambda d: (d(6, 5), 5, d(5)),
    "rms_norm_backward": lambda d: (d(6, 5), d(6, 5), MOMENTS[1], d(5), 5),
    "sgd": lambda d: (TENSORS, [d(5), d(2, 3)], [np.zeros_like(x) for x in TENSORS], steps(), SgdRates(0.1, 0.9)),
    "softmax": lambda d: (d(3, 4), 0),
    "softmax_backward": lambda d: (d(3, 4), d(3, 4), 0, True),
}
# Without a kernel, or without arrays in what they return.
_NO_KERNEL: dict[str, Callable[[Draw], tuple[Any, ...]]] = {
    "average_pool": lambda d: (d(2, 3, 8, 8), WINDOW),
    "average_pool_backward": lambda d: (POOLED, (2, 3, 8, 8), WINDOW),
    "geometry": lambda d: (d(4, 3, 3, 3),),
    "window": lambda d: ("max_pool2d", d(2, 3, 8, 8), 2),
}
GLUE = ("elementwise_loss", "elementwise_loss_backward")  # computed by the arrays' own library
# fmt: on
CALLS = {name: make(Draw(name)) for name, make in _CALLS.items()}
NO_KERNEL = {name: make(Draw(name)) for name, make in _NO_KERNEL.items()}
