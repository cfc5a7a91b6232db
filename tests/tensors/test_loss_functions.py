"""Losses of elements at their bounds: targets, probabilities of 0 and 1, infinities; against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F

pytestmark = pytest.mark.filterwarnings("error")
NAN = float("nan")


@pytest.mark.parametrize("target", [[2.0, 0.5], [0.5, -3.0], [NAN, 0.5], [1.0000002, 0.0]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets_of_binary_cross_entropy(target: list[float], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x, t = pylayers.tensor([0.5, 0.5], dtype=dtype), pylayers.tensor(target, dtype=dtype)
    with pytest.raises(ValueError, match=r"argument 'target': expected probabilities in \[0, 1\], got values in \["):
        F.binary_cross_entropy(x, t)
    with pytest.raises(RuntimeError, match="all elements of target should be between 0 and 1"):
        torch.nn.functional.binary_cross_entropy(torch.tensor([0.5, 0.5]), torch.tensor(target))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_of_binary_cross_entropy(dtype: str) -> None:
    """Logarithms are no less than -100, and the denominator of the gradient no less than 1e-12: bounds, not sums."""
    torch = pytest.importorskip("torch")
    # Near 0 and 1 a bound and an added epsilon differ by far more than a rounding.
    values = [0.0, 1e-44, 1e-40, 1e-13, 1e-12, 3e-12, 1e-9, 1e-7, 0.5, 1 - 2**-24, 1.0]
    results = []
    for lib, functional in ((pylayers, F), (torch, torch.nn.functional)):
        for target in (0.0, 0.25, 1.0):
            x = lib.tensor(np.array(values, dtype), requires_grad=True)
            t = lib.full((len(values),), target, dtype=x.dtype)
            loss = functional.binary_cross_entropy(x, t, reduction="none")
            loss.backward(lib.ones(len(values), dtype=x.dtype))
            results.append((loss.detach().numpy(), x.grad.numpy()))
    single = dtype == "float32"
    for (loss, grad), (its_loss, its_grad) in zip(results[:3], results[3:], strict=True):
        np.testing.assert_allclose(loss, its_loss, rtol=4e-7 if single else 1e-14)
        np.testing.assert_allclose(grad, its_grad, rtol=4e-7 if single else 1e-8)  # torch's bound is a float32 number


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"])
def test_infinities_are_values(name: str) -> None:
    """As torch, without a warning: from overflow, from infinity less itself, and in the gradient."""
    torch = pytest.importorskip("torch")
    values = np.array([1e20, np.inf, np.inf, -np.inf, NAN, 3e38], np.float32)
    targets = np.array([0, np.inf, 1, 1, 1, -3e38], np.float32)
    results: list[list[Any]] = []
    for lib, functional in ((pylayers, F), (torch, torch.nn.functional)):
        x, t = lib.tensor(values, requires_grad=True), lib.tensor(targets)
        loss = getattr(functional, name)(x, t, reduction="none")
        loss.backward(lib.ones(6))
        results.append([loss.detach().numpy(), x.grad.numpy()])
    (mine, my_grad), (wanted, its_grad) = results
    if name != "binary_cross_entropy_with_logits":  # where torch turns fewer infinities into NaN
        np.testing.assert_array_equal(mine, wanted)
    certain = ~np.isnan(mine)  # of a NaN the slope is NaN here, 0 in torch
    assert certain.sum() >= 2
    np.testing.assert_array_equal(my_grad[certain], its_grad[certain])
