"""What the adapters know of arrays: memory order, new arrays beside old ones, where arrays are."""

from __future__ import annotations

import types
from typing import Any

import emulated
import numpy as np
import pytest

import pylayers.nn.functional as F
from pylayers import arrays, dtypes

IMAGES = [(2, 3, 4, 5), (2, 3, 1, 1), (2, 4, 4, 1), (1, 4, 4, 3), (2, 5, 1, 3), (2, 1, 5, 3), (0, 4, 4, 3)]


@pytest.mark.parametrize("shape", IMAGES)
def test_memory_order_of_both_formats(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    assert arrays.memory_order(x) == (0, 1, 2, 3)
    if x.size:  # an array without elements has no order to find
        assert arrays.memory_order(x.transpose(0, 3, 1, 2)) == (0, 2, 3, 1)


def test_memory_order_of_other_views() -> None:
    x = np.zeros((2, 3, 4))
    assert arrays.memory_order(x.T) == (2, 1, 0)
    assert arrays.memory_order(x[::-1, :, ::-2]) == (0, 1, 2)
    assert arrays.memory_order(np.zeros(())) == ()
    assert arrays.memory_order(np.zeros((1, 1))) == (0, 1)
    assert arrays.memory_order(np.zeros((1, 5)).T) == (0, 1)
    # a batch taken out of a channels-last view of one channel: its strides are neither format's
    odd = np.zeros((70, 8, 8, 1), np.float32).transpose(0, 3, 1, 2)[np.arange(64)]
    assert sorted(arrays.memory_order(odd)) == [0, 1, 2, 3]
    assert F.conv2d(odd, np.zeros((32, 1, 3, 3), np.float32), padding=1).shape == (64, 32, 8, 8)


def test_empty_like_keeps_the_order_where_the_rank_is_the_same() -> None:
    x = np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    y = arrays.empty_like(x, (2, 8, 2, 2))
    assert y.shape == (2, 8, 2, 2) and y.dtype == np.float32 and y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert arrays.empty_like(x, (2, 60)).flags.c_contiguous
    assert arrays.empty_like(x, dtype="int64").strides == tuple(2 * s for s in x.strides)


def test_devices_and_libraries() -> None:
    assert arrays.device(np.zeros(1)) == "cpu"
    assert arrays.library_of("cpu").namespace is np
    with pytest.raises(ValueError, match=r"expected 'cpu', 'cuda' or 'cuda:<number>', got 'tpu'"):
        arrays.library_of("tpu")
    with pytest.raises(TypeError, match=r"arrays: argument 'x': expected a NumPy or CuPy array, got list"):
        arrays.device([1, 2])


class Elsewhere:
    """An array by CuPy's attributes only."""

    def __init__(self, x: np.ndarray, **changed: Any) -> None:
        self.data = types.SimpleNamespace(ptr=x.__array_interface__["data"][0], device_id=0)
        self.dtype, self.shape, self.strides = x.dtype, x.shape, x.strides
        vars(self).update(changed)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float8_e4m3fn", "int8"])
def test_what_the_module_reads_of_an_array(dtype: str) -> None:
    """The fields of a NumPy array and the attributes of another give the same plan; unknown dtype objects too."""
    module = emulated.load()
    a, b = (np.zeros((1, 64, 64), dtypes.DTYPES[dtype])[:, :, ::-1][:, ::2] for _ in range(2))
    b = b.swapaxes(1, 2)
    spec = module.device_spec(0)
    plans = []
    for x, y in ((a, b), (Elsewhere(a), Elsewhere(b)), (Elsewhere(a, dtype=np.dtype(a.dtype, metadata={"a": 1})), b)):
        plan = module.plan("gemm", [x, y], spec=spec)
        plans.append((plan.variant, plan.blocks, plan.workspace_bytes))
    assert plans[0] == plans[1] == plans[2]


def test_what_the_module_refuses_of_an_array() -> None:
    module = emulated.load()
    x = np.ones(4, np.float32)
    caller = arrays.library(x).caller(x)
    swapped = x.astype(">f4")
    for wrong, error, words in (
        (swapped, NotImplementedError, "array: argument 'dtype': expected native byte order, got another float32"),
        (Elsewhere(swapped), NotImplementedError, "expected native byte order"),
        (x.astype(np.complex64), NotImplementedError, "expected a dtype with a kernel, got complex64"),
        (np.ones((1,) * 9, np.float32), NotImplementedError, "array: expected at most 8 dimensions, got 9"),
        (Elsewhere(np.ones((1,) * 9, np.float32)), NotImplementedError, "array: expected at most 8 dimensions, got 9"),
        (np.ndarray(2, np.float32, bytearray(16), 0, (6,)), ValueError, "expected multiples of the item size, got 6"),
        (Elsewhere(x, strides=(6,)), ValueError, "expected multiples of the item size, got 6"),
        (Elsewhere(x, shape=("4",)), TypeError, "integer"),
        (Elsewhere(x, shape=[4]), TypeError, "incompatible function arguments"),
        (Elsewhere(x, data=None), TypeError, "incompatible function arguments"),
        ([1.0], TypeError, "incompatible function arguments"),
        (x[0], TypeError, "incompatible function arguments"),  # whose memory is nobody's
    ):
        with pytest.raises(error, match=words):
            module.activation_forward(wrong, "relu", caller)
    assert module.activation_forward(Elsewhere(x), "relu", caller).tolist() == [1.0] * 4
