"""What the product of a backward does besides for the records below: derivative of an activation, bias gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import reference

import pylayers
import pylayers.nn.functional as F
from pylayers import backends
from pylayers.autograd import Tensor

Draw = Callable[..., np.ndarray]


@pytest.fixture
def draw(rng: np.random.Generator) -> Draw:
    """Normal numbers of this shape."""
    return lambda *shape: rng.standard_normal(shape)


def near(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-12) -> None:
    assert got.shape == want.shape
    assert float(np.abs(got - want).max(initial=0)) <= tolerance * max(1.0, float(np.abs(want).max(initial=0)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernel ops that ran, gemms with their epilogues."""
    seen: list[str] = []
    original = backends.of

    class Spy:
        def __init__(self, backend: Any) -> None:
            self.backend = backend

        def __getattr__(self, name: str) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                with_saved = "+saved" if kwargs.get("saved") is not None else ""
                seen.append(name + with_saved + ("+sums" if kwargs.get("column_sums") else ""))
                return getattr(self.backend, name)(*args, **kwargs)

            return call

    monkeypatch.setattr(backends, "of", lambda *args: Spy(original(*args)))
    return seen


def network(draw: Draw, activation: str, biased: bool, apart: bool) -> tuple[list[Tensor], Tensor]:
    """Two layers with an activation between them, fused into the first layer or applied by itself."""
    leaves = [Tensor(draw(*shape), requires_grad=True) for shape in ((6, 4), (5, 4), (5,), (3, 5), (3,))]
    x, w1, b1, w2, b2 = leaves
    bias = b1 if biased else None
    if apart:
        hidden = getattr(F, activation)(F.linear(x, w1, bias))
    else:
        hidden = F.linear(x, w1, bias, activation=activation)
    return leaves, F.linear(hidden, w2, b2)


def gradients(leaves: list[Tensor]) -> list[np.ndarray | None]:
    return [None if x.grad is None else x.grad.numpy() for x in leaves]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "silu"])
def test_the_chain_rule_rides_on_the_product(
    rng: np.random.Generator,
    draw: Draw,
    calls: list[str],
    activation: str,
    biased: bool,
    apart: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One gemm makes dx, multiplies it by the derivative and adds up its columns; the gradients are those without."""
    seed = rng.bit_generator.state
    leaves, y = network(draw, activation, biased, apart)
    dy = draw(6, 3)
    calls.clear()
    y.backward(Tensor(dy))
    fused = [name for name in calls if name.startswith("gemm")]
    assert sorted(fused) == sorted(["gemm+saved" + ("+sums" if biased else ""), "gemm", "gemm", "gemm"])
    assert calls.count("activation_backward") == 0
    assert calls.count("column_sum") == 1  # of the last layer, whose dy no product made
    rng.bit_generator.state = seed
    monkeypatch.setattr(sys.modules["pylayers.functional.linear"], "below", lambda node: None)
    others, y = network(draw, activation, biased, apart)
    calls.clear()
    y.backward(Tensor(dy))
    assert calls.count("activation_backward") == 1
    for got, want in zip(gradients(leaves), gradients(others), strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            near(got, want)


def deep_gradients(
    lib: Any,
    leaf: Callable[[np.ndarray], Any],
    operands: list[np.ndarray],
    dy: Any,
    kinds: list[int],
    biased: list[int],
) -> list[np.ndarray]:
    """Of four layers and a tanh after each of three: none (0), inside the layer where ours has it (1), or apart (2)."""
    start, *inner = leaves = [leaf(x) for x in operands]
    h = start
    for layer, kind in enumerate(kinds):
        inside = {"activation": "tanh"} if kind == 1 and lib is pylayers else {}
        h = lib.nn.functional.linear(h, inner[layer], inner[4 + layer] if biased[layer] else None, **inside)
        h = lib.tanh(h) if kind == 2 or (kind == 1 and not inside) else h
    lib.nn.functional.linear(h, inner[3]).backward(dy)
    return [t.grad.numpy() for t in leaves if t.grad is not None]


def test_deep_networks_as_torch(draw: Draw, calls: list[str]) -> None:
    """Layers with and without bias, with their activation inside, apart or none, in every order."""
    torch = pytest.importorskip("torch")
    for number in range(3**3 * 2**3):
        kinds, biased = [number // 3**i % 3 for i in range(3)], [number // 27 // 2**i % 2 for i in range(3)]
        operands, dy = [draw(3, 4), *(draw(4, 4) for _ in range(4)), *(draw(4) for _ in range(3))], draw(3, 4)
        calls.clear()
        got = deep_gradients(pylayers, lambda x: Tensor(x, requires_grad=True), operands, Tensor(dy), kinds, biased)
        assert calls.count("activation_backward") == 0
        summed = sum(kind > 0 and has_bias for kind, has_bias in zip(kinds, biased))
        assert calls.count("gemm+saved+sums") == summed
        assert calls.count("gemm+saved") == sum(kind > 0 for kind in kinds) - summed
        want = deep_gradients(
            torch, lambda x: torch.tensor(x, requires_grad=True), operands, torch.tensor(dy), kinds, biased
        )
        assert len(got) == len(want)
        for ours, theirs in zip(got, want, strict=True):
            near(ours, theirs)


@pytest.mark.parametrize("reader", ["twice", "hook", "retained"])
def test_a_result_with_other_readers_keeps_its_own_gradient(draw: Draw, calls: list[str], reader: str) -> None:
    """Used twice, with a hook, or with its gradient kept, what is between the layers is not fused away."""
    torch = pytest.importorskip("torch")
    operands, dy = [draw(*shape) for shape in ((6, 4), (5, 4), (3, 5))], draw(6, 3)

    def run(lib: Any, leaf: Callable[[np.ndarray], Any], constant: Callable[[np.ndarray], Any]) -> list[np.ndarray]:
        x, w1, w2 = leaves = [leaf(operand) for operand in operands]
        hidden = lib.tanh(lib.nn.functional.linear(x, w1))
        looked = []
        if reader == "hook":
            hidden.register_hook(lambda g: looked.append(g.detach().numpy().copy()) or g * 2)
        if reader == "retained":
            hidden.retain_grad()
        y = lib.nn.functional.linear(hidden, w2)
        (y + hidden[:, :3] if reader == "twice" else y).backward(constant(dy))
        return [t.grad.numpy() for t in (*leaves, *([hidden] if reader == "retained" else []))] + looked

    got = run(pylayers, lambda x: Tensor(x, requires_grad=True), Tensor)
    assert "gemm+saved" not in calls and calls.count("activation_backward") == 1
    want = run(torch, lambda x: torch.tensor(x, requires_grad=True), torch.tensor)
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs)


def test_a_second_backward_and_changes_in_place(draw: Draw, calls: list[str]) -> None:
    leaves, y = network(draw, "relu", True, True)
    dy = Tensor(draw(6, 3))
    y.backward(dy, retain_graph=True)
    once = [None if g is None else g.copy() for g in gradients(leaves)]
    y.backward(dy)
    for got, want in zip(gradients(leaves), once, strict=True):
        near(got, 2 * want)
    assert calls.count("gemm+saved+sums") == 2
    x, w1, w2 = (Tensor(draw(*shape), requires_grad=True) for shape in ((6, 4), (5, 4), (3, 5)))
    hidden = F.relu(F.linear(x, w1))
    y = F.linear(hidden, w2)
    hidden.detach().fill_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward(dy)


def test_gradients_of_float32_on_the_reference_do_not_change_by_fusion(draw: Draw) -> None:
    """In float32 the fused product gives the bits of the steps it replaces."""
    a, b, saved = (x.astype("f4") for x in (draw(1, 70, 20), draw(1, 20, 33), draw(1, 70, 33)))
    apart = reference.activation_backward(reference.gemm(a, b), saved, "relu")
    fused, sums = reference.gemm(a, b, None, "relu", saved=saved, column_sums=True)
    np.testing.assert_array_equal(fused, apart)
    np.testing.assert_array_equal(sums, reference.column_sum(apart.reshape(70, 33, 1)))
