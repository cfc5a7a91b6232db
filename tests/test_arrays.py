"""What the adapters know of arrays: memory order, new arrays beside old ones, where arrays are."""

from __future__ import annotations

import numpy as np
import pytest

import pylayers.nn.functional as F
from pylayers import arrays

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
