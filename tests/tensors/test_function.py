"""Functions of a user's own: torch's classes, word for word, on both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tape import MODIFIED, SECOND_TIME

import pylayers

pytestmark = pytest.mark.filterwarnings("error")


def libraries() -> tuple[Any, Any]:
    return pylayers, pytest.importorskip("torch")


def functions(lib: Any) -> Any:
    """The classes that tutorials show, once for each library."""
    base = lib.autograd.Function

    class MyReLU(base):
        @staticmethod
        def forward(ctx: Any, input: Any) -> Any:
            assert isinstance(input, lib.Tensor) and input.requires_grad == ctx.needs_input_grad[0]
            ctx.save_for_backward(input)
            return input.clamp(min=0)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (input,) = ctx.saved_tensors
            grad_input = grad_output.clone()
            grad_input[input < 0] = 0
            return grad_input

    class MulAdd(base):
        """a b + c number, of which only some want a gradient."""

        @staticmethod
        def forward(ctx: Any, a: Any, b: Any, number: float, name: str = "c", c: Any = None) -> Any:
            ctx.save_for_backward(a, b)
            ctx.number, ctx.name = number, name
            return a * b + (0 if c is None else c * number)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            a, b = ctx.saved_tensors
            needs = ctx.needs_input_grad
            assert ctx.name == "c" and len(needs) in (3, 5)
            last = dy * ctx.number if len(needs) == 5 and needs[4] else None
            return (dy * b if needs[0] else None, dy * a if needs[1] else None, None, None, last)[: len(needs)]

    return {"relu": MyReLU, "muladd": MulAdd, **newer_functions(lib)}


def newer_functions(lib: Any) -> Any:
    base = lib.autograd.Function

    class Exp(base):
        """In the newer form, with setup_context."""

        @staticmethod
        def forward(x: Any) -> Any:
            return x.exp()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            (x,) = inputs
            ctx.shape = x.shape
            ctx.save_for_backward(output, None)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            y, nothing = ctx.saved_tensors
            assert nothing is None and ctx.shape == y.shape
            return y * dy

    class Largest(base):
        """Two results, of which the places have no gradient."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, places = x.max(1)
            scaled = places * 1.0
            ctx.mark_non_differentiable(scaled)
            ctx.save_for_backward(places)
            ctx.columns = x.shape[1]
            return values, scaled

        @staticmethod
        def backward(ctx: Any, dvalues: Any, dscaled: Any) -> Any:
            (places,) = ctx.saved_tensors
            assert not dscaled.any()
            columns = lib.arange(ctx.columns)
            return dvalues[:, None] * (columns[None] == places[:, None])

    return {"exp": Exp, "largest": Largest}


def leaves(lib: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    return [lib.tensor(rng.normal(size=(3, 4)), requires_grad=True) for _ in range(3)]


CALLS = {
    "relu": lambda f, a, b, c: f["relu"].apply(a * 2) + b,
    "two": lambda f, a, b, c: f["muladd"].apply(a, b, 3.0),
    "constant": lambda f, a, b, c: f["muladd"].apply(a, b.detach(), 3.0, "c", c.sin()),
    "all": lambda f, a, b, c: f["muladd"].apply(a, b, 3.0, "c", c) + a,
    "same": lambda f, a, b, c: f["muladd"].apply(a, a, 1.0, "c", a),
    "exp": lambda f, a, b, c: f["exp"].apply(f["exp"].apply(a) * 0.1),
    "largest": lambda f, a, b, c: f["largest"].apply(a * b)[0] * f["largest"].apply(c)[1],
}


@pytest.mark.parametrize("case", CALLS)
def test_against_torch(case: str) -> None:
    results = []
    for lib in libraries():
        given = leaves(lib)
        y = CALLS[case](functions(lib), *given)
        y.backward(lib.tensor(np.random.default_rng(1).normal(size=tuple(y.shape))))
        results.append([y.detach().numpy(), *(None if x.grad is None else x.grad.numpy() for x in given)])
    for mine, wanted in zip(*results, strict=True):
        assert (mine is None) == (wanted is None)
        if mine is not None:
            np.testing.assert_allclose(mine, wanted, rtol=1e-12)


def test_what_is_recorded() -> None:
    for lib in libraries():
        f, (a, b, _) = functions(lib), leaves(lib)
        assert f["relu"].apply(a).requires_grad and "MyReLU" in repr(f["relu"].apply(a).grad_fn)
        assert not f["relu"].apply(a.detach()).requires_grad
        values, places = f["largest"].apply(a)
        assert values.requires_grad and not places.requires_grad and places.is_leaf
        with lib.no_grad():
            assert not f["muladd"].apply(a, b, 1.0).requires_grad


def test_saved_tensors_are_guarded() -> None:
    for lib in libraries():
        f, (a, b, _) = functions(lib), leaves(lib)
        y = f["muladd"].apply(a, b, 1.0)
        with lib.no_grad():
            b.add_(1)
        with pytest.raises(RuntimeError, match=MODIFIED):
            y.sum().backward()
        y = f["exp"].apply(a).sum()
        y.backward()
        with pytest.raises(RuntimeError, match=SECOND_TIME):
            y.backward()


def test_wrong_functions() -> None:
    """Refused by both libraries; the words are ours where torch's name its own types."""
    for lib in libraries():

        class Nothing(lib.autograd.Function):  # type: ignore[misc, name-defined]
            pass

        class SavesNumbers(lib.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(3)
                return x * 1

        class TwoForOne(lib.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * 1

            @staticmethod
            def backward(ctx: Any, dy: Any) -> Any:
                return dy, dy

        x = leaves(lib)[0]
        with pytest.raises(NotImplementedError, match="forward"):
            Nothing.apply(x)
        with pytest.raises(TypeError, match="save_for_backward can only save variables, but argument 0 is of type int"):
            SavesNumbers.apply(x).sum().backward()
        with pytest.raises(RuntimeError, match="TwoForOne.*gradient"):
            TwoForOne.apply(x).sum().backward()


def test_what_is_not_there() -> None:
    class Dirty(pylayers.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x

    class Number(pylayers.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3

    with pytest.raises(NotImplementedError, match="mark_dirty: a function that changes its arguments"):
        Dirty.apply(pylayers.ones(2, requires_grad=True) * 1)
    with pytest.raises(TypeError, match="Number: argument 'forward': expected a Tensor or a tuple of them, got int"):
        Number.apply(pylayers.ones(2))
