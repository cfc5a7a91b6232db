"""How an optimizer walks over its tensors: in place, in working precision, in chunks that stay in cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pylayers import arrays
from pylayers.backends.contract import Array
from pylayers.backends.reference.parallel import parts, run

# Six float32 operands of 8192 elements are 192 KiB: they stay in the second-level cache through a whole formula.
CHUNK = 8192
WORTH = 1 << 16  # elements that one thread alone is done with before another has begun

# (scratch (2, c), gradient (c,), parameter (c,), *moments (c,)), of one dtype. Changes all but the gradient, in place.
Formula = Callable[..., None]


def update(formula: Formula, gradient: Array, changed: Sequence[Array]) -> None:
    """Runs `formula` on one gradient and on its parameter and moments (`changed`), in float32 at least."""
    parameter = changed[0]
    order = arrays.memory_order(parameter)
    flat = [x.transpose(order).reshape(-1) for x in (gradient, *changed)]
    dtype: np.dtype[Any] = np.dtype(np.float64 if parameter.dtype == np.float64 else np.float32)

    def work(part: slice) -> None:
        for chunk in parts(part.stop - part.start, 1, CHUNK):
            stored = [x[part][chunk] for x in flat]
            wide = [x.astype(dtype, copy=False) for x in stored]
            formula(np.empty((2, wide[0].size), dtype), *wide)
            for x, y in zip(stored[1:], wide[1:], strict=True):
                if x is not y:
                    x[...] = y

    with np.errstate(all="ignore"):
        run(work, parts(parameter.size, 1, WORTH))
    for x, y in zip(changed, flat[1:], strict=True):
        if not np.may_share_memory(x, y):  # the strides of x allow no flat view, and y is a copy
            x.transpose(order)[...] = y.reshape([x.shape[axis] for axis in order])


def stopped(norm: Array | None) -> bool:
    """Whether `gradient_norm` found an element that is not finite, which makes the step a no-op."""
    return norm is not None and bool(norm[1] != 0)
