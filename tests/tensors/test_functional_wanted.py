"""Which gradients functions compute: those that are wanted, whichever these are."""

from __future__ import annotations

import emulated
import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F
from pylayers.autograd import Tensor


def test_only_wanted_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layer of a network asks for no gradient of its input, a frozen one for none of its weight."""
    asked = []
    original = pylayers.functional.conv.conv_backward
    spy = lambda *args: asked.append(args[-1]) or original(*args)  # noqa: E731
    monkeypatch.setattr("pylayers.functional.conv.conv_backward", spy)
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(1, 2, 4, 4)), rng.normal(size=(3, 2, 2, 2)), rng.normal(size=3)
    F.conv2d(x, Tensor(w, requires_grad=True), Tensor(b, requires_grad=True)).sum().backward()
    y = F.conv2d(Tensor(x, requires_grad=True), Tensor(w), b)
    y.backward(Tensor(rng.normal(size=y.shape)))
    assert asked == [(False, True, True), (True, False, False)]


@pytest.mark.parametrize("backend", ["reference", "emulated"])
@pytest.mark.parametrize("wanted", [(0, 0, 1), (0, 1, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)])
@pytest.mark.parametrize("weighted", [True, False])
def test_layer_norm_gradients_one_by_one(weighted: bool, wanted: tuple[int, ...], backend: str) -> None:
    """Whichever of x, weight and bias want a gradient get theirs, with a constant weight and without one."""
    torch = pytest.importorskip("torch")
    if backend == "emulated":
        emulated.load()
    rng = np.random.default_rng(6)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 3, 4), (3, 4), (3, 4))]
    results = []
    for lib, functional in ((pylayers, F), (torch, torch.nn.functional)):
        x, weight, bias = (lib.tensor(a, requires_grad=bool(n)) for a, n in zip(arrays, wanted, strict=True))
        with pylayers.backend(backend):
            y = functional.layer_norm(x * 1, (3, 4), weight if weighted else None, bias)
            if not y.requires_grad:
                return
            y.backward(lib.tensor(np.random.default_rng(7).normal(size=(5, 3, 4)).astype(np.float32)))
        results.append([None if t.grad is None else t.grad.numpy() for t in (x, weight, bias)])
    for mine, reference in zip(*results, strict=True):
        assert (mine is None) == (reference is None)
        if mine is not None:
            assert mine.shape == reference.shape and abs(mine - reference).max() <= 1e-5 * max(
                1.0, abs(reference).max()
            )
