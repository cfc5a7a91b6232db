"""The norm of all gradients on the reference backend, by hand."""

from __future__ import annotations

import itertools

import numpy as np
from oracle import reference


def test_gradient_norm() -> None:
    np.testing.assert_array_equal(reference.gradient_norm([np.array([3.0]), np.array([[4.0]])]), [5, 0])
    np.testing.assert_array_equal(reference.gradient_norm([]), [0, 0])
    np.testing.assert_array_equal(reference.gradient_norm([np.zeros(5), np.zeros(0)]), [0, 0])
    rng = np.random.default_rng(4)
    g = [rng.standard_normal((3, 7000)).astype(np.float32) * scale for scale in (1e-3, 1, 1e3)]
    want = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in g))
    for order in itertools.permutations(g):
        got = reference.gradient_norm([order[0].T, order[1][:, ::-1], order[2]])
        assert abs(got[0] / want - 1) <= 1e-6 and got[1] == 0
    np.testing.assert_array_equal(
        reference.gradient_norm([np.full(4, 1e30, np.float32)]), np.array([2e30, 0], np.float32)
    )
    np.testing.assert_allclose(reference.gradient_norm([np.full(4, 1e-200), np.full(5, 1e-200)]), [0, 0])
    np.testing.assert_array_equal(reference.gradient_norm([np.full(4, 1e300)]), [np.inf, 0])  # finite, beyond float32
    assert reference.gradient_norm([np.full(4, 300, np.float16)])[0] == 600
