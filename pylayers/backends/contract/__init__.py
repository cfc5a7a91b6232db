"""Every primitive operation, once. Each backend implements exactly these names.

Arrays are plain arrays of one library on one device, of any strides. An operation never changes its inputs, except the
optimizers, which change the parameters and moments they are given. Outputs are newly allocated; where an output has the
rank of an image its memory order (NCHW, channels last, ...) is that of the first array argument. Meaning (shapes that
must agree, labels in range) has been checked by `pylayers.ops` before a backend is called; for `linear`, of which each
call counts, kernels are asked first: they refuse what they cannot read, and the check then says why. What a backend
cannot do for these arguments raises NotImplementedError and says what it can.

Types: float64 stays float64 throughout; float32 accumulates in float32; float16 and bfloat16 compute in float32 and
round once. What kernels take stands in each op's row: `OPS` is the list of all.
"""

from __future__ import annotations

from typing import Protocol

from pylayers.backends.contract.attention import AttentionOps
from pylayers.backends.contract.image import ImageOps
from pylayers.backends.contract.matrix import MatrixOps
from pylayers.backends.contract.op import OPS, Op
from pylayers.backends.contract.optimizer import OptimizerOps
from pylayers.backends.contract.rows import RowOps
from pylayers.backends.contract.words import (
    Activation,
    AdamRates,
    Array,
    BiasCorrection,
    Loss,
    Pads,
    Precision,
    Reduction,
    SgdRates,
    Sizes,
)

__all__ = [
    "OPS",
    "Activation",
    "AdamRates",
    "Array",
    "Backend",
    "BiasCorrection",
    "Loss",
    "Op",
    "Pads",
    "Precision",
    "Reduction",
    "SgdRates",
    "Sizes",
]


class Backend(MatrixOps, ImageOps, RowOps, AttentionOps, OptimizerOps, Protocol):
    """Every primitive op."""
