"""Cross-entropy of labels against logits, log-probabilities and probabilities, and its gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracle import reference
from reference_checks import assert_near, numeric_gradient, stridings

KINDS = ["logits", "log_probabilities", "probabilities"]
REDUCTIONS = ["none", "mean", "sum"]


def rows_of(kind: str, rng: np.random.Generator, rows: int = 6, n: int = 5) -> np.ndarray:
    x = rng.standard_normal((rows, n))
    return {
        "logits": lambda: x,
        "log_probabilities": lambda: reference.softmax_forward(x, True),
        "probabilities": lambda: reference.softmax_forward(x / 2, False),
    }[kind]()


def both(x, labels, weight, ignore, smoothing, reduction, kind, dloss):  # type: ignore[no-untyped-def]
    loss, normalizer, gradient = reference.cross_entropy_forward(
        x, labels, weight, ignore, smoothing, reduction, kind, True
    )
    rows = dloss if reduction == "none" else np.broadcast_to(dloss, labels.shape)
    return loss, normalizer, reference.cross_entropy_backward(rows, gradient, normalizer)


def test_golden() -> None:
    p = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]])
    labels, weight = np.array([1, 2, -100]), np.array([1.0, 2.0, 4.0])
    loss, normalizer, gradient = reference.cross_entropy_forward(
        np.log(p) + 3, labels, weight, -100, 0.0, "mean", "logits", True
    )
    assert loss.shape == normalizer.shape == (1,)
    assert normalizer[0] == 6
    assert abs(loss[0] - (2 * math.log(4) - 4 * math.log(0.7)) / 6) <= 1e-15
    assert_near(gradient, np.array([[1.0, -1.5, 0.5], [0.4, 0.8, -1.2], [0, 0, 0]]), 1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_equals_finite_differences(kind: str, reduction: str, smoothing: float, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    x, labels = rows_of(kind, rng), np.array([0, 4, -1, 2, 2, -1])
    weight = rng.random(5) + 0.5 if weighted else None
    dloss = rng.standard_normal(6 if reduction == "none" else 1)
    loss, _, dx = both(x, labels, weight, -1, smoothing, reduction, kind, dloss)
    assert loss.shape == dloss.shape

    def value(z: np.ndarray) -> np.ndarray:
        return reference.cross_entropy_forward(z, labels, weight, -1, smoothing, reduction, kind, False)[0]

    assert_near(dx, numeric_gradient(value, x, dloss), 1e-8)
    for _, z in stridings(x):
        assert_near(both(z, labels, weight, -1, smoothing, reduction, kind, dloss)[2], dx, 1e-14)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("shift", [0.0, 1e7, -1e7])
@pytest.mark.parametrize("weighted", [False, True])
def test_logits_live_against_torch(reduction: str, smoothing: float, shift: float, weighted: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((6, 5)) * 2 + shift, np.array([0, 4, 3, 2, 2, 3], np.uint8)
    weight = rng.random(5) + 0.5 if weighted else None
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        t,
        torch.tensor(labels.astype(np.int64)),
        None if weight is None else torch.tensor(weight),
        ignore_index=3,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    dloss = rng.standard_normal(6 if reduction == "none" else 1)
    loss.backward(torch.tensor(dloss if reduction == "none" else dloss[0]))
    got, _, dx = both(x, labels, weight, 3, smoothing, reduction, "logits", dloss)
    assert_near(got.reshape(loss.shape), loss.detach().numpy())
    assert_near(dx, t.grad.numpy())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_log_probabilities_live_against_torch(reduction: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x, labels, weight = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1]), rng.random(3)
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.nll_loss(t, torch.tensor(labels), torch.tensor(weight), reduction=reduction)
    dloss = rng.standard_normal(4 if reduction == "none" else 1)
    loss.backward(torch.tensor(dloss if reduction == "none" else dloss[0]))
    got, _, dx = both(x, labels, weight, -100, 0.0, reduction, "log_probabilities", dloss)
    assert_near(got.reshape(loss.shape), loss.detach().numpy())
    assert_near(dx, t.grad.numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_clipped_and_clipped_ones_have_no_gradient(dtype: type) -> None:
    p = np.array([[0, 1], [1, 0], [1e-7, 1], [0.5, 0.5]], dtype)
    loss, _, dx = reference.cross_entropy_forward(
        p, np.array([0, 0, 0, 1]), None, -100, 0.0, "none", "probabilities", True
    )
    low, high = dtype(1e-7), dtype(1 - 1e-7)
    np.testing.assert_array_equal(loss, -np.log(np.array([low, high, low, 0.5], dtype)))
    np.testing.assert_array_equal(dx[[0, 1, 3]], np.array([[0, 0], [0, 0], [0, -2]]))
    assert_near(dx[2], np.array([-1 / low, 0]), 1e-6)
    assert loss.dtype == dx.dtype == dtype


def test_ignored_rows_hide_everything(recwarn: pytest.WarningsRecorder) -> None:
    x = np.array([[np.nan, 0], [np.inf, 1], [0.0, 0]])
    loss, normalizer, dx = reference.cross_entropy_forward(
        x, np.array([-100, -100, 1]), None, -100, 0.1, "none", "logits", True
    )
    assert_near(loss, np.array([0, 0, math.log(2)]), 1e-15)
    assert_near(dx, np.array([[0, 0], [0, 0], [0.5 - 0.05, -0.45]]), 1e-15)
    np.testing.assert_array_equal(normalizer, [1])
    assert not recwarn.list


def test_all_rows_ignored_as_in_torch() -> None:
    torch = pytest.importorskip("torch")
    x, labels = np.ones((2, 3)), np.array([-100, -100])
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(t, torch.tensor(labels))
    loss.backward()
    got, _, dx = both(x, labels, None, -100, 0.0, "mean", "logits", np.ones(1))
    np.testing.assert_array_equal(got[0], loss.item())
    np.testing.assert_array_equal(dx, t.grad.numpy())


def test_certain_rows_have_no_nan() -> None:
    x = np.array([[0, -np.inf, -np.inf], [3.0, -np.inf, 3.0]])
    loss, _, dx = reference.cross_entropy_forward(x, np.array([0, 2]), None, -100, 0.0, "none", "logits", True)
    np.testing.assert_array_equal(loss, [0, np.log(2)])
    assert_near(dx, np.array([[0, 0, 0], [0.5, 0, -0.5]]), 1e-15)


def test_without_gradient_and_without_rows() -> None:
    x = np.zeros((0, 3))
    loss, normalizer, dx = reference.cross_entropy_forward(
        x, np.zeros(0, np.int32), None, -100, 0.0, "sum", "logits", False
    )
    np.testing.assert_array_equal(loss, [0])
    np.testing.assert_array_equal(normalizer, [1])
    assert dx is None


def test_float16_rounds_the_loss_and_the_last_gradient_once() -> None:
    x = np.random.default_rng(3).standard_normal((4, 30)).astype(np.float16)
    labels = np.array([1, 2, 3, 4])
    wide = both(x.astype(np.float32), labels, None, -100, 0.0, "mean", "logits", np.ones(1, np.float32))
    loss, _, dx = both(x, labels, None, -100, 0.0, "mean", "logits", np.ones(1, np.float16))
    assert loss.dtype == dx.dtype == np.float16
    np.testing.assert_array_equal(loss, wide[0].astype(np.float16))
    np.testing.assert_array_equal(dx, wide[2].astype(np.float16))
