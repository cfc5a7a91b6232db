"""Dropout: the mask is a function of seed, offset and place, the same on every backend and in both directions."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import reference
from layouts import LAYOUTS
from subject import Subject


@pytest.mark.parametrize("shape", [(1,), (3,), (0,), (7, 11), (2, 3, 1000)])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_mask_is_the_reference_mask(on: Subject, shape: tuple[int, ...], p: float) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32) + 10
    for seed, offset in [(0, 0), (2**63 + 12345, 2**33 + 7)]:
        got, want = on("dropout", x, p, seed, offset), reference.dropout(x, p, seed, offset)
        np.testing.assert_array_equal(got == 0, want == 0)
        np.testing.assert_allclose(got, want, rtol=2e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mask_follows_places_not_memory(on: Subject, layout: str) -> None:
    x = np.ones((5, 6, 7), np.float32)
    np.testing.assert_array_equal(on("dropout", LAYOUTS[layout](x), 0.5, 3, 4), reference.dropout(x, 0.5, 3, 4))


def test_known_answer_of_philox(on: Subject) -> None:
    # Random123's vector for counter 0 and key 0: 6627e8d5 e169c58d bc57ac4c 9b00dbd8
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]) / 2.0**32
    for p in [0.3, 0.5, 0.7, 0.8, 0.9]:
        np.testing.assert_array_equal(on("dropout", np.ones(4, np.float32), p, 0, 0) != 0, words >= p)


@pytest.mark.parametrize("p", [0.5, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_even_where_dropped(on: Subject, bad: float, p: float) -> None:
    """torch multiplies by the mask, and 0 times NaN or infinity is NaN."""
    x = np.full(40, bad, np.float32)
    dropped = reference.dropout(np.ones_like(x), p, 3, 4) == 0
    np.testing.assert_array_equal(on("dropout", x, p, 3, 4), np.where(dropped, np.nan, x))


def test_keep_rate_and_independence(on: Subject) -> None:
    x, p = np.ones(40000, np.float32), 0.3
    first, second = on("dropout", x, p, 5, 0) != 0, on("dropout", x, p, 5, 10000) != 0
    deviation = np.sqrt(p * (1 - p) / x.size)
    assert abs(first.mean() - (1 - p)) <= 5 * deviation
    assert abs((first == second).mean() - (p * p + (1 - p) ** 2)) <= 5 * 0.5 / np.sqrt(x.size)


def test_schedules(scheduled: Subject) -> None:
    x = np.ones((3, 700), np.float32)
    np.testing.assert_array_equal(scheduled("dropout", x, 0.5, 8, 9), reference.dropout(x, 0.5, 8, 9))
