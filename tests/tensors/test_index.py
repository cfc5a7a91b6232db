"""Indexing against torch: which axes come first, in values, gradients and assignment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pylayers

pytestmark = pytest.mark.filterwarnings("error")

# Of an array (2, 3, 4, 3); i and j are (3,) and (2, 1) of positions in [0, 2), m a mask (3,), n a mask (2, 3).
INDICES: dict[str, Callable[..., Any]] = {
    "int, slice, array": lambda i, j, m, n: (0, slice(None), i),
    "array, slice, int": lambda i, j, m, n: (i, slice(None), 1),
    "int, array": lambda i, j, m, n: (1, i),
    "array, int": lambda i, j, m, n: (i, 0),
    "array, int, array": lambda i, j, m, n: (i, 0, i),
    "array, slice, array": lambda i, j, m, n: (i, slice(None), i),
    "int, array, int, array": lambda i, j, m, n: (-1, i, -2, j),
    "int, slice, array, int": lambda i, j, m, n: (0, slice(1, None), i, 2),
    "int, slice, arrays": lambda i, j, m, n: (0, slice(None), i, j),
    "int, ellipsis, array": lambda i, j, m, n: (1, ..., i),
    "ellipsis, int, array": lambda i, j, m, n: (..., 1, i),
    "array, ellipsis, int": lambda i, j, m, n: (i, ..., 1),
    "int, none, slice, array": lambda i, j, m, n: (0, None, slice(None), i),
    "none, int, array": lambda i, j, m, n: (None, 0, i),
    "int, none, array": lambda i, j, m, n: (0, None, i),
    "array, none, array": lambda i, j, m, n: (i, None, i),
    "array, none, int": lambda i, j, m, n: (i, None, 1),
    "int, slice, slice, mask": lambda i, j, m, n: (0, slice(None), slice(None), m),
    "int, mask, slice, list": lambda i, j, m, n: (1, m, slice(None, None, 2), [0, 1]),
    "mask of two, slice, int": lambda i, j, m, n: (n, slice(None), 1),
    "mask of two, int, slice": lambda i, j, m, n: (n, 2),
    "int, list": lambda i, j, m, n: (0, slice(None), [0, 1]),
    "int, steps, array": lambda i, j, m, n: (0, slice(None), slice(1, 4, 2), i),
    "ints": lambda i, j, m, n: (0, 1),
    "arrays": lambda i, j, m, n: (i, j),
    "scalar array, slice, array": lambda i, j, m, n: (i[0], slice(None), i),
}


def given(lib: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    arrays = (
        rng.integers(0, 2, 3), rng.integers(0, 2, (2, 1)), np.array([True, False, True]),
        rng.integers(0, 2, (2, 3)).astype(bool),
    )  # fmt: skip
    return tuple(map(lib.tensor, arrays))


@pytest.mark.parametrize("case", INDICES)
def test_against_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(1).normal(size=(2, 3, 4, 3))
    results = []
    for lib in (pylayers, torch):
        index = INDICES[case](*given(lib))
        x = lib.tensor(values, requires_grad=True)
        y = x[index]
        y.backward(lib.tensor(np.arange(1.0, 1 + np.prod(tuple(y.shape))).reshape(tuple(y.shape))))
        filled = lib.zeros(2, 3, 4, 3, dtype=lib.float64)
        filled[index] = y.detach() * 0 + 3  # the same wherever an element comes twice
        h, v = x * 1, lib.tensor(np.full(tuple(y.shape[-1:]), 5.0), requires_grad=True)
        h[index] = v
        (h * lib.tensor(values)).sum().backward()
        results.append([t.detach().numpy() for t in (y, filled, h, x.grad)])
    for mine, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-12)


@pytest.mark.parametrize("case", ["int, slice, array", "int, ellipsis, array", "int, slice, arrays", "ints", "arrays"])
def test_assigned_gradient_against_torch(case: str) -> None:
    """Where no element comes twice the value gets the gradient of its places."""
    torch = pytest.importorskip("torch")
    places = np.array([1, 0]), np.array([[0], [1]])
    grads = []
    for lib in (pylayers, torch):
        i, j = map(lib.tensor, places)
        x = lib.zeros(2, 3, 4, 3, dtype=lib.float64)
        index = INDICES[case](i, j, None, None)
        shape = tuple(x[index].shape)
        value = lib.tensor(np.arange(float(np.prod(shape))).reshape(shape), requires_grad=True)
        x[index] = value
        (x * lib.tensor(np.random.default_rng(2).normal(size=(2, 3, 4, 3)))).sum().backward()
        grads.append((x.detach().numpy(), value.grad.numpy()))
    for mine, wanted in zip(*grads, strict=True):
        np.testing.assert_array_equal(mine, wanted)


def test_places_outside() -> None:
    x, i = pylayers.zeros(2, 3, 4), pylayers.tensor([0, 3])
    for index in ((2, slice(None), i), (0, slice(None), i + 1), (0, i, i), (0, 0, i, i)):
        with pytest.raises(IndexError, match=r"getitem: argument 'index': expected positions inside shape \(2, 3, 4\)"):
            x[index]
        with pytest.raises(IndexError, match=r"setitem: argument 'index': expected positions inside shape \(2, 3, 4\)"):
            x[index] = 1.0


def test_increment_at_mixed_places() -> None:
    """``x[index] += y`` reads and writes the same places."""
    x, i = pylayers.zeros(2, 3, 4), pylayers.tensor([0, 2])
    x[1, :, i] += pylayers.tensor([1.0, 10.0])
    assert x[1].tolist() == [[1, 0, 10, 0]] * 3 and x[0].sum().item() == 0
