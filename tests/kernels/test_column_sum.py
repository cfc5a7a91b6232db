"""y[c] = the sum over o and i of x[o, c, i]: exact on integers, within the bound on reals, any sizes and strides."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_within, product_bound, truth
from layouts import LAYOUTS
from subject import Subject


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 5, 1), (3, 33, 40), (1, 70, 3000), (2500, 3, 1), (0, 4, 1), (3, 0, 2), (4, 5, 0)]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_column_sum(on: Subject, shape: tuple[int, int, int], layout: str) -> None:
    x = integers(np.random.default_rng(7), *shape)
    np.testing.assert_array_equal(
        on("column_sum", LAYOUTS[layout](x)), x.astype(np.int64).sum((0, 2)).astype(np.float32)
    )


def test_column_sum_bound(on: Subject) -> None:
    x = np.random.default_rng(8).standard_normal((5000, 37, 1)).astype(np.float32)
    want = truth("column_sum", x)
    assert_within(on("column_sum", x), want, product_bound(want, (x.astype(np.float64) ** 2).sum((0, 2)), 5000))


def test_column_sum_schedules(scheduled: Subject) -> None:
    for shape in [(2100, 40, 1), (1, 3, 2100)]:  # both mappings, with a second pass
        x = integers(np.random.default_rng(9), *shape)
        np.testing.assert_array_equal(scheduled("column_sum", x), x.sum((0, 2)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(40, 7, 1), (3000, 9, 1), (2, 3, 2100)])
def test_16_bits_add_up_in_float32_and_round_once(on: Subject, dtype: str, shape: tuple[int, int, int]) -> None:
    x = np.random.default_rng(10).integers(-2, 3, shape).astype(dtype)
    want = x.astype(np.float64).sum((0, 2))
    np.testing.assert_array_equal(on("column_sum", x), want.astype(dtype))
