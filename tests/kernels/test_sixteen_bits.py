"""Ops on float16 and bfloat16: kernels compute in float32 and round once, as the contract says."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from bounds import assert_within, truth
from op_cases import OPS as CASES
from oracle import reference
from subject import Subject, map_arrays

from pylayers import dtypes
from pylayers.backends.contract import OPS

DTYPES = ("float16", "bfloat16")
FAMILIES = {"softmax", "norm", "cross_entropy", "pool", "dropout", "activation", "column_sum"}
IN_FLOAT32 = {  # what forward left unrounded
    "layer_norm_backward": (2, 3),
    "rms_norm_backward": (2,),
    "cross_entropy_backward": (1, 2),
}
OPERATIONS = [name for name, op in OPS.items() if op.family in FAMILIES and set(DTYPES) <= set(op.kernels)]


def narrowed(op: str, dtype: np.dtype[Any]) -> list[Any]:
    """The case of the op with its float32 arrays rounded, their strides kept."""

    def narrow(x: np.ndarray) -> np.ndarray:
        return x.astype(dtype) if x.dtype == np.float32 else x

    case = [x if i in IN_FLOAT32.get(op, ()) else map_arrays(narrow, x) for i, x in enumerate(CASES[op])]
    if op == "layer_norm_backward":  # starts from the moments of the rounded rows
        case[2:4] = reference.layer_norm_forward(case[1], None, None, 1e-5)[1:]
    return case


def spacing(x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The distance of neighbouring numbers of the dtype at x."""
    info = ml_dtypes.finfo(dtype)
    exponent = np.floor(np.log2(np.maximum(np.abs(x), float(info.smallest_normal))))
    return np.exp2(exponent) * float(info.eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATIONS)
def test_results_are_rounded_once(kernels: Subject, op: str, dtype: str) -> None:
    """No further from the truth than half a unit of the dtype, and four times the error of float32 arithmetic."""
    case = narrowed(op, dtypes.DTYPES[dtype])
    got, own = kernels(op, *case), getattr(reference, op)(*case)
    wide = map_arrays(lambda x: x.astype(np.float32) if x.dtype == dtypes.DTYPES[dtype] else x, case)
    exact, single = truth(op, *case), getattr(reference, op)(*wide)
    tuples = [x if isinstance(x, tuple) else (x,) for x in (got, own, exact, single)]
    for g, o, want, near in zip(*tuples, strict=True):
        assert (g.dtype, g.shape) == (o.dtype, o.shape)
        if g.dtype.kind in "iu":
            np.testing.assert_array_equal(g, want)
            continue
        error = 4 * np.abs(near - want).max(initial=0) + np.spacing(np.abs(want).max(initial=0).astype(np.float32))
        assert_within(g, want, error + (0.5 * spacing(want, g.dtype) if g.dtype.itemsize == 2 else 0), op)


@pytest.mark.parametrize("op", OPERATIONS)
def test_dtypes_do_not_mix(kernels: Subject, op: str) -> None:
    """A second array of another dtype is refused, not read as if it were of the first's."""
    case = narrowed(op, dtypes.DTYPES["bfloat16"])
    for place, x in enumerate(case[1:], 1):
        if isinstance(x, np.ndarray) and x.dtype == dtypes.DTYPES["bfloat16"]:
            mixed = [*case[:place], x.astype(np.float16), *case[place + 1 :]]
            with pytest.raises(NotImplementedError, match=f"{op}: argument '.*': expected b?float16, got .* b?float16"):
                kernels(op, *mixed)
