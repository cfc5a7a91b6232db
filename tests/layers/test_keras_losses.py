"""Keras's losses, optimizers and metrics against their formulas in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F
from pylayers.keras import losses, metrics, optimizers


def relative(found, truth):
    return float(np.max(np.abs(found - truth)) / max(1.0, np.max(np.abs(truth))))


def gradient_of(loss, y_true, y_pred, **options):
    """d(sum of c_i row loss_i)/d y_pred for random cotangents c."""
    x = pylayers.Tensor(y_pred.copy(), requires_grad=True)
    rows = loss(y_true, x, **options)
    cotangent = np.random.default_rng(5).standard_normal(rows.shape).astype(rows.dtype)
    rows.backward(cotangent)
    return rows.detach().numpy(), x.grad.numpy(), cotangent


def difference(formula, y_pred, cotangent, eps=1e-6):
    """The same derivative by central differences, in float64."""
    result = np.zeros_like(y_pred)
    for index in np.ndindex(*y_pred.shape):
        ahead, behind = y_pred.copy(), y_pred.copy()
        ahead[index] += eps
        behind[index] -= eps
        result[index] = ((formula(ahead) - formula(behind)) * cotangent).sum() / (2 * eps)
    return result


def clipped(p):
    return np.clip(p, 1e-7, 1 - 1e-7)


def probabilities(n, classes, seed=6):
    x = np.random.default_rng(seed).standard_normal((n, classes))
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


LABELS = np.array([0, 3, 2, 2, 1])
ONE_HOT = np.eye(4)[LABELS]
SOFT = probabilities(5, 4, seed=9)
LOGITS = np.random.default_rng(8).standard_normal((5, 4)) * 3


def log_softmax(x):
    return x - x.max(1, keepdims=True) - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))


def normalized_log(p):
    return np.log(clipped(p / p.sum(1, keepdims=True)))


CASES = {
    "mse": (losses.MeanSquaredError, {}, SOFT, LOGITS, lambda x: ((x - SOFT) ** 2).mean(1)),
    "binary": (
        losses.BinaryCrossentropy, {}, SOFT, probabilities(5, 4),
        lambda p: -(SOFT * np.log(clipped(p)) + (1 - SOFT) * np.log(1 - clipped(p))).mean(1),
    ),
    "binary, logits": (
        losses.BinaryCrossentropy, {"from_logits": True}, SOFT, LOGITS,
        lambda x: (np.log1p(np.exp(x)) - SOFT * x).mean(1),
    ),
    "binary, smoothed": (
        losses.BinaryCrossentropy, {"label_smoothing": 0.2}, SOFT, probabilities(5, 4),
        lambda p: -((SOFT * 0.8 + 0.1) * np.log(p) + (0.9 - SOFT * 0.8) * np.log(1 - p)).mean(1),
    ),
    "categorical": (
        losses.CategoricalCrossentropy, {}, SOFT, probabilities(5, 4) * 1.7,
        lambda p: -(SOFT * normalized_log(p)).sum(1),
    ),
    "categorical, one-hot": (
        losses.CategoricalCrossentropy, {}, ONE_HOT, probabilities(5, 4) * 0.3,
        lambda p: -(ONE_HOT * normalized_log(p)).sum(1),
    ),
    "categorical, logits": (
        losses.CategoricalCrossentropy, {"from_logits": True}, SOFT, LOGITS, lambda x: -(SOFT * log_softmax(x)).sum(1),
    ),
    "categorical, one-hot logits": (
        losses.CategoricalCrossentropy, {"from_logits": True}, ONE_HOT, LOGITS,
        lambda x: -(ONE_HOT * log_softmax(x)).sum(1),
    ),
    "categorical, smoothed": (
        losses.CategoricalCrossentropy, {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS,
        lambda x: -((ONE_HOT * 0.9 + 0.025) * log_softmax(x)).sum(1),
    ),
    "sparse": (
        losses.SparseCategoricalCrossentropy, {}, LABELS, probabilities(5, 4) * 2.5,
        lambda p: -(ONE_HOT * normalized_log(p)).sum(1),
    ),
    "sparse, logits": (
        losses.SparseCategoricalCrossentropy, {"from_logits": True}, LABELS, LOGITS,
        lambda x: -(ONE_HOT * log_softmax(x)).sum(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_equal_the_formula_in_float64(case):
    kind, options, y_true, y_pred, formula = CASES[case]
    rows, dx, cotangent = gradient_of(kind(**options, reduction="none"), y_true, y_pred)
    assert rows.dtype == np.float64
    assert relative(rows, formula(y_pred)) <= 1e-12
    assert relative(dx, difference(formula, y_pred, cotangent)) <= 1e-7
    for reduction, reduce in (("sum_over_batch_size", np.mean), ("mean", np.mean), ("sum", np.sum)):
        x = pylayers.Tensor(y_pred.copy(), requires_grad=True)
        value = kind(**options, reduction=reduction)(y_true, x)
        value.backward()
        assert value.shape == () and abs(value.item() - reduce(formula(y_pred))) <= 1e-12 * max(1, abs(value.item()))
        scale = 1 / 5 if reduce is np.mean else 1.0
        assert relative(x.grad.numpy(), difference(formula, y_pred, np.full(5, scale))) <= 1e-7
    assert abs(kind(**options)(y_true, y_pred.astype(np.float32)).item() - formula(y_pred).mean()) <= 2e-6


def test_probabilities_are_clipped_at_1e_7():
    zero, one = np.float64(-math.log(1e-7)), -math.log(1 - 1e-7)
    p = np.array([[0.0, 1.0]])
    for loss, target in (
        (losses.SparseCategoricalCrossentropy(reduction="none"), np.array([0])),
        (losses.CategoricalCrossentropy(reduction="none"), np.array([[1.0, 0.0]])),
    ):
        for normalized in (False, True):
            rows, dx, _ = gradient_of(loss, target, p, normalized=normalized)
            assert abs(rows[0] - zero) <= 1e-9
            assert np.array_equal(dx, np.zeros((1, 2)))
    rows, dx, _ = gradient_of(losses.BinaryCrossentropy(reduction="none"), np.array([[1.0, 1.0]]), p)
    assert abs(rows[0] - (zero + one) / 2) <= 1e-9 and np.array_equal(dx, np.zeros((1, 2)))


def test_normalized_promise_changes_nothing_for_a_softmax():
    logits = pylayers.Tensor(LOGITS.copy(), requires_grad=True)
    found = []
    for normalized in (False, True):
        for loss, target in (
            (losses.SparseCategoricalCrossentropy(), LABELS),
            (losses.CategoricalCrossentropy(), ONE_HOT),
        ):
            logits.grad = None
            value = loss(target, F.softmax(logits, -1), normalized)
            value.backward()
            found.append((value.item(), logits.grad.numpy().copy()))
    truth = (np.exp(log_softmax(LOGITS)) - ONE_HOT) / 5
    for value, gradient in found:
        assert abs(value + (ONE_HOT * log_softmax(LOGITS)).sum(1).mean()) <= 1e-12
        assert relative(gradient, truth) <= 1e-12


def test_losses_of_more_axes_and_missing_last_axis():
    p = probabilities(6, 4).reshape(2, 3, 4)
    labels = np.array([[0, 1, 2], [3, 0, 1]])
    rows = losses.SparseCategoricalCrossentropy(reduction="none")(labels, pylayers.Tensor(p))
    truth = -np.log(np.take_along_axis(p, labels[..., None], -1))[..., 0]
    assert rows.shape == (2, 3) and relative(rows.numpy(), truth) <= 1e-12
    soft = losses.CategoricalCrossentropy(reduction="none")(np.eye(4)[labels], pylayers.Tensor(p))
    assert soft.shape == (2, 3) and relative(soft.numpy(), truth) <= 1e-12
    assert losses.BinaryCrossentropy()(np.array([1, 0]), np.full((2, 1), 0.5)).item() == pytest.approx(math.log(2))
    column = losses.SparseCategoricalCrossentropy()(
        LABELS[:, None].astype(np.uint8), pylayers.Tensor(probabilities(5, 4))
    )
    assert column.shape == ()


def steps_of(optimizer, gradients, start):
    parameter = pylayers.Tensor(start.copy(), requires_grad=True)
    bound = optimizer.bind([parameter])
    for gradient in gradients:
        parameter.grad = pylayers.Tensor(gradient.copy())
        bound.step()
    return parameter.detach().numpy()


def keras_steps(update, gradients, start):
    w, state = start.copy(), {}
    for t, g in enumerate(gradients, 1):
        w = update(w, g, t, state)
    return w


def keras_adam(decay=0.0, lr=0.001):
    def update(w, g, t, state):
        w = w - lr * decay * w
        state["m"] = state.get("m", 0) + (g - state.get("m", 0)) * (1 - 0.9)
        state["v"] = state.get("v", 0) + (g * g - state.get("v", 0)) * (1 - 0.999)
        alpha = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return w - alpha * state["m"] / (np.sqrt(state["v"]) + 1e-7)

    return update


def keras_momentum(nesterov):
    def update(w, g, t, state):
        state["m"] = 0.9 * state.get("m", 0) - 0.01 * g
        return w + (0.9 * state["m"] - 0.01 * g if nesterov else state["m"])

    return update


@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (lambda: optimizers.SGD(), lambda w, g, t, state: w - 0.01 * g),
        (lambda: optimizers.SGD(momentum=0.9), keras_momentum(False)),
        (lambda: optimizers.SGD(momentum=0.9, nesterov=True), keras_momentum(True)),
        (lambda: optimizers.Adam(), keras_adam()),
        (lambda: optimizers.AdamW(), keras_adam(0.004)),
        (lambda: optimizers.get("adam"), keras_adam()),
    ],
)
def test_optimizers_take_keras_steps(optimizer, update):
    rng = np.random.default_rng(10)
    # Small gradients tell epsilon inside the folded rate from epsilon beside the corrected root.
    gradients = rng.standard_normal((100, 7)) * 10.0 ** rng.integers(-8, 2, (1, 7))
    start = rng.standard_normal(7)
    found = steps_of(optimizer(), gradients, start)
    truth = keras_steps(update, gradients, start)
    assert np.max(np.abs(found - truth)) <= 1e-12
    assert (found != start).all()


def test_learning_rate_can_be_changed_while_training():
    optimizer = optimizers.SGD(learning_rate=0.5)
    parameter = pylayers.Tensor(np.zeros(1), requires_grad=True)
    bound = optimizer.bind([parameter])
    optimizer.learning_rate = 0.25
    parameter.grad = pylayers.Tensor(np.ones(1))
    bound.step()
    assert parameter.array[0] == -0.25 and optimizer.learning_rate == 0.25


def test_accuracy_is_what_the_shapes_call_for():
    y = np.array([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    cases = (
        ((3,), (3, 1), metrics.BinaryAccuracy), ((3, 1), (3, 1), metrics.BinaryAccuracy),
        ((3,), (3, 2), metrics.SparseCategoricalAccuracy), ((3, 1), (3, 2), metrics.SparseCategoricalAccuracy),
        ((3, 2), (3, 2), metrics.CategoricalAccuracy),
    )  # fmt: skip
    for y_true, y_pred, kind in cases:
        metric = metrics.get("accuracy", y_true, y_pred)
        assert type(metric) is kind and metric.name == "accuracy"
    sparse = metrics.get("acc", (3,), (3, 2))
    sparse.update_state([0, 1, 1], y)
    sparse.update_state([0], y[:1])
    assert sparse.result() == 3 / 4 and sparse.name == "acc"
    sparse.reset_state()
    assert sparse.result() == 0
    one_hot = metrics.CategoricalAccuracy()
    one_hot.update_state(np.eye(2)[[0, 1, 1]], y)
    assert one_hot.result() == pytest.approx(2 / 3)
    binary = metrics.BinaryAccuracy()
    binary.update_state([1, 0, 1, 1], np.array([[0.51], [0.5], [0.49], [0.9]]))
    assert binary.result() == 3 / 4
    squared = metrics.get("mse", (2, 1), (2, 1))
    squared.update_state([[1.0], [2.0]], np.array([[0.0], [4.0]]))
    assert squared.result() == 2.5 and squared.name == "mse"
