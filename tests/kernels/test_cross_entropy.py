"""Cross-entropy of rows with integer labels: loss, normalizer and gradient, for each kind of input and reduction."""

from __future__ import annotations

import numpy as np
import pytest
from bounds import assert_as_good, assert_within, reference, truth
from layouts import LAYOUTS, in_turns
from subject import Subject

KINDS = ["logits", "log_probabilities", "probabilities"]
IGNORE = -100


def draw(rows: int, n: int, kind: str, seed: int = 1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, n)).astype(np.float32)
    if kind != "logits":
        x = reference.softmax_forward(x, kind == "log_probabilities")
    return x, rng.integers(0, max(n, 1), rows), rng.uniform(0.5, 2, n).astype(np.float32)


def check(on: Subject, x, labels, weight, smoothing, reduction, kind, change=lambda x: x) -> None:
    args = (IGNORE, smoothing, reduction, kind, True)
    with np.errstate(all="ignore"):
        same = reference.cross_entropy_forward(x, labels, weight, *args)
        want = truth("cross_entropy_forward", x, labels, weight, *args)
        got = on("cross_entropy_forward", change(x), change(labels), None if weight is None else change(weight), *args)
        for name, g, exact, own in zip(("loss", "normalizer", "gradient"), got, want, same, strict=True):
            assert_as_good(g, exact, own, 3, f"{name} {x.shape} {kind} {reduction}")
        rng = np.random.default_rng(2)
        dloss = rng.standard_normal(1 if reduction != "none" else x.shape[0]).astype(np.float32)
        dloss = np.broadcast_to(dloss, x.shape[:1])
        backward = dloss, same[2], same[1]
        got = on("cross_entropy_backward", dloss, change(same[2]), same[1])
        exact = truth("cross_entropy_backward", *backward)
        assert_as_good(got, exact, reference.cross_entropy_backward(*backward), 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("rows, n", [(1, 1), (7, 10), (33, 65), (300, 3), (3, 1030), (0, 4)])
def test_sizes(on: Subject, rows: int, n: int, reduction: str, kind: str) -> None:
    x, labels, weight = draw(rows, n, kind)
    check(on, x, labels, None, 0.0, reduction, kind)
    check(on, x, labels, weight, 0.0, reduction, kind)


@pytest.mark.parametrize("n", [9, 1100])
@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing(on: Subject, n: int, weighted: bool) -> None:
    x, labels, weight = draw(12, n, "logits")
    check(on, x, labels, weight if weighted else None, 0.2, "mean", "logits")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_strides(on: Subject, kind: str, layout: str) -> None:
    check(on, *draw(11, 13, kind), 0.0, "mean", kind, LAYOUTS[layout])


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_lie_differently(on: Subject, kind: str, first: str) -> None:
    check(on, *draw(12, 14, kind), 0.1 if kind == "logits" else 0.0, "none", kind, in_turns(first))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_spoils_its_row(on: Subject, bad: float) -> None:
    """Elements of gradient 0 too, as 0 times it is no number: torch's gradients say so as well."""
    gradient = np.array([[0, 0.25, -1], [0, 0.5, -0.5]], np.float32)
    dloss = np.array([bad, 2], np.float32)
    got = on("cross_entropy_backward", dloss, gradient, np.ones(1, np.float32))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got, gradient * dloss[:, None])
    nothing_counts = np.zeros(1, np.float32)
    np.testing.assert_array_equal(on("cross_entropy_backward", dloss, 0 * gradient, nothing_counts), 0 * gradient)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ignored_rows(on: Subject, kind: str, reduction: str) -> None:
    x, labels, weight = draw(9, 6, kind)
    labels[[0, 4, 8]] = IGNORE
    check(on, x, labels, weight, 0.1 if kind == "logits" else 0.0, reduction, kind)
    labels[:] = IGNORE
    check(on, x, labels, weight, 0.0, reduction, kind)


def test_probabilities_are_clipped(on: Subject) -> None:
    x = np.array([[0.0, 1.0], [1.0, 0.0], [5e-8, 1 - 5e-8], [0.25, 0.75]], np.float32)
    labels = np.array([0, 0, 0, 0])
    loss, _, gradient = on("cross_entropy_forward", x, labels, None, IGNORE, 0.0, "none", "probabilities", True)
    want = -np.log(np.clip(x[:, 0].astype(np.float64), 1e-7, 1 - 1e-7))
    assert_within(loss, want, 1e-6 * np.abs(want) + 3e-8)  # 1 - 1e-7 itself is a rounding away in float32
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [0, 0], [-4, 0]])


@pytest.mark.parametrize("n", [10, 1100])
def test_stability(on: Subject, n: int) -> None:
    x, labels, _ = draw(4, n, "logits")
    x = np.round(x * 4)
    x[0] += 1e4
    x[1] -= 1e7
    x[2, labels[2]] += 200
    x[3, (labels[3] + 1) % n] = np.nan
    check(on, x, labels, None, 0.0, "none", "logits")


def test_without_gradient(on: Subject) -> None:
    x, labels, _ = draw(5, 7, "logits")
    args = (x, labels, None, IGNORE, 0.0, "mean", "logits")
    loss, _, gradient = on("cross_entropy_forward", *args, False)
    assert gradient is None
    assert_as_good(
        loss, truth("cross_entropy_forward", *args, False)[0], reference.cross_entropy_forward(*args, False)[0], 3
    )


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_labels_give_nan_and_read_nothing(kernels: Subject, kind: str) -> None:
    x, labels, _ = draw(4, 5, kind)
    labels[1], labels[2] = 5, -1
    loss, _, gradient = kernels("cross_entropy_forward", x, labels, None, IGNORE, 0.0, "none", kind, True)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, True, False])
    np.testing.assert_array_equal(gradient[1:3], 0)


def test_schedules(scheduled: Subject) -> None:
    for rows, n in [(300, 5), (20, 1100)]:
        for kind in KINDS:
            check(scheduled, *draw(rows, n, kind), 0.1 if kind == "logits" else 0.0, "mean", kind)
