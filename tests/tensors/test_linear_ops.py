"""linear, matmul and the products of fixed rank: values and gradients are torch's, each from gemms on views."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from oracle import reference
from subject import Subject

import pylayers
import pylayers.nn.functional as F
from pylayers import ops
from pylayers.autograd import Tensor
from pylayers.backends.contract import OPS
from pylayers.backends.reference.gemm import product_dtype

Draw = Callable[..., np.ndarray]


@pytest.fixture
def draw(rng: np.random.Generator) -> Draw:
    """Normal numbers of this shape."""
    return lambda *shape: rng.standard_normal(shape)


def near(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert float(np.abs(got - want).max(initial=0)) <= tolerance * max(1.0, float(np.abs(want).max(initial=0)))


def both(
    draw: Draw, call: Callable[[Any, Any], Any], operands: list[np.ndarray], views: Callable[[Any], Any] | None = None
) -> None:
    """Value and gradients of `call(library, tensors)` are torch's, for a random cotangent."""
    torch = pytest.importorskip("torch")
    view = views or (lambda x: x)
    ours = [Tensor(x, requires_grad=True) for x in operands]
    theirs = [torch.tensor(x, requires_grad=True) for x in operands]
    y, want = call(pylayers, [view(x) for x in ours]), call(torch, [view(x) for x in theirs])
    near(y.detach().numpy(), want.detach().numpy())
    dy = draw(*want.shape)
    y.backward(Tensor(dy))
    want.backward(torch.tensor(dy))
    for x, other in zip(ours, theirs, strict=True):
        assert x.grad is not None
        near(x.grad.numpy(), other.grad.numpy())


PRODUCTS: dict[str, tuple[Callable[[Any, Any], Any], list[tuple[int, ...]]]] = {
    "mm": (lambda lib, t: lib.mm(*t), [(3, 4), (4, 5)]),
    "mm_method": (lambda lib, t: t[0].mm(t[1]), [(3, 4), (4, 5)]),
    "mm_of_nothing": (lambda lib, t: lib.mm(*t), [(3, 0), (0, 5)]),
    "mv": (lambda lib, t: lib.mv(*t), [(3, 4), (4,)]),
    "dot": (lambda lib, t: lib.dot(*t), [(4,), (4,)]),
    "bmm": (lambda lib, t: lib.bmm(*t), [(2, 3, 4), (2, 4, 5)]),
    "bmm_of_nothing": (lambda lib, t: t[0].bmm(t[1]), [(0, 3, 4), (0, 4, 5)]),
    "matmul_vector_batch": (lambda lib, t: lib.matmul(*t), [(4,), (2, 4, 5)]),
    "matmul_four_axes": (lambda lib, t: lib.matmul(*t), [(2, 1, 3, 4), (5, 4, 6)]),
    "matmul_turned_heads": (
        lambda lib, t: t[0].permute(0, 2, 1, 3) @ t[1].permute(0, 2, 3, 1), [(2, 5, 3, 4), (2, 6, 3, 4)]
    ),
    "addmm": (lambda lib, t: lib.addmm(*t), [(3, 5), (3, 4), (4, 5)]),
    "addmm_row": (lambda lib, t: lib.addmm(*t, beta=0.5, alpha=-2), [(5,), (3, 4), (4, 5)]),
    "addmm_row_of_two_axes": (lambda lib, t: t[0].addmm(t[1], t[2]), [(1, 5), (3, 4), (4, 5)]),
    "addmm_column": (lambda lib, t: lib.addmm(*t, beta=3), [(3, 1), (3, 4), (4, 5)]),
    "addmm_number": (lambda lib, t: lib.addmm(*t, alpha=0.25), [(), (3, 4), (4, 5)]),
    "addmm_one_column": (lambda lib, t: lib.addmm(*t), [(1,), (3, 4), (4, 1)]),
    "addmm_of_nothing": (lambda lib, t: lib.addmm(*t, beta=2), [(3, 5), (3, 0), (0, 5)]),
    "baddbmm": (lambda lib, t: lib.baddbmm(*t), [(2, 3, 5), (2, 3, 4), (2, 4, 5)]),
    "baddbmm_scaled": (lambda lib, t: t[0].baddbmm(t[1], t[2], beta=0.5, alpha=3), [(3, 5), (2, 3, 4), (2, 4, 5)]),
    "baddbmm_row": (lambda lib, t: lib.baddbmm(*t), [(5,), (2, 3, 4), (2, 4, 5)]),
    "linear_three_axes": (lambda lib, t: lib.nn.functional.linear(*t), [(2, 3, 4), (5, 4), (5,)]),
    "linear_turned": (lambda lib, t: lib.nn.functional.linear(t[0].transpose(0, 1), t[1]), [(2, 3, 4), (5, 4)]),
    "linear_vector": (lambda lib, t: lib.nn.functional.linear(*t), [(4,), (5, 4), (5,)]),
    "linear_of_nothing": (lambda lib, t: lib.nn.functional.linear(*t), [(0, 4), (5, 4), (5,)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_as_torch(draw: Draw, name: str) -> None:
    call, shapes = PRODUCTS[name]
    both(draw, call, [draw(*shape) for shape in shapes])


def test_beta_zero_forgets_what_was_there(draw: Draw) -> None:
    """NaN too, as torch; the gradient is 0 there."""
    a, b = draw(3, 4), draw(4, 5)
    x = Tensor(np.full((3, 5), np.nan), requires_grad=True)
    y = pylayers.addmm(x, a, b, beta=0)
    near(y.detach().numpy(), a @ b)
    y.backward(Tensor(draw(3, 5)))
    assert x.grad is not None and (x.grad.numpy() == 0).all()


def test_integers(rng: np.random.Generator) -> None:
    a, b = rng.integers(-5, 6, (2, 3, 4)), rng.integers(-5, 6, (2, 4, 5))
    np.testing.assert_array_equal(pylayers.bmm(a, b).numpy(), a @ b)
    np.testing.assert_array_equal(pylayers.matmul(a, b[0]).numpy(), a @ b[0])
    c = rng.integers(-5, 6, (3, 5))
    np.testing.assert_array_equal(pylayers.baddbmm(c, a, b, beta=2, alpha=-3).numpy(), 2 * c - 3 * (a @ b))
    with pytest.raises(TypeError, match="addmm: argument 'alpha': expected an integer beside integers, got 0.5"):
        pylayers.addmm(c, a[0], b[0], alpha=0.5)


def test_gemms_are_given_views(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of operands whose leading axes are turned; only two of them without one common stride take a copy."""
    seen: list[np.ndarray] = []
    original = reference.gemm
    for module in (reference, sys.modules[original.__module__]):  # which ops.matmul and reference.linear call
        monkeypatch.setattr(module, "gemm", lambda a, b, *r, **k: seen.extend((a, b)) or original(a, b, *r, **k))
    w, turned = draw(5, 4), draw(3, 2, 4).swapaxes(0, 1)
    flat, four = draw(2, 3, 4), draw(2, 3, 5, 4).transpose(0, 2, 1, 3)
    for x, call in [
        (flat, lambda: ops.linear(flat, w)), (turned, lambda: ops.linear(turned, w)),
        (flat, lambda: ops.matmul(flat, w.T)), (turned, lambda: ops.matmul(turned, w.T)),
        (flat, lambda: ops.matmul(flat.swapaxes(1, 2), flat)),
    ]:  # fmt: skip
        seen.clear()
        call()
        assert seen and all(np.shares_memory(a, x) or np.shares_memory(a, w) for a in seen)
    ops.matmul(four, four.swapaxes(-1, -2))
    assert not np.shares_memory(seen[-1], four)
    near(ops.linear(turned, w), turned @ w.T)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_products_round_once(draw: Draw, name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    x, w, b, dy = (draw(*shape).astype(dtype) for shape in ((6, 40), (5, 40), (5,), (6, 5)))
    wide = [a.astype(np.float32) for a in (x, w, b, dy)]
    leaves = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    y = F.linear(*leaves)
    assert y.dtype == dtype
    near(y.detach().numpy(), (wide[0] @ wide[1].T + wide[2]).astype(dtype), 2e-2 if name == "bfloat16" else 2e-3)
    y.backward(Tensor(dy))
    for leaf, want in zip(leaves, (wide[3] @ wide[1], wide[3].T @ wide[0], wide[3].sum(0)), strict=True):
        assert leaf.grad is not None and leaf.grad.dtype == dtype
        error = np.abs(leaf.grad.numpy().astype(np.float32) - want.astype(dtype).astype(np.float32))
        assert float(error.max()) <= 2.0 ** (-7 if name == "bfloat16" else -10) * float(np.abs(want).max())


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: pylayers.mm(ones(2, 3, 4), ones(4, 5)), ValueError,
         r"mm: argument 'input': expected 2 axes, got shape \(2, 3, 4\)"),
        (lambda: pylayers.mm(ones(3, 4), ones(5, 4)), ValueError,
         r"mm: argument 'mat2': expected 4 rows as 'input' has columns, got shape \(5, 4\)"),
        (lambda: pylayers.bmm(ones(2, 3, 4), ones(1, 4, 5)), ValueError,
         r"bmm: argument 'mat2': expected 2 matrices as 'input' has, got shape \(1, 4, 5\)"),
        (lambda: pylayers.bmm(ones(3, 4), ones(4, 5)), ValueError, "bmm: argument 'input': expected 3 axes"),
        (lambda: pylayers.dot(ones(3, 4), ones(4)), ValueError, "dot: argument 'input': expected 1 axis, got shape"),
        (lambda: pylayers.dot(ones(3), ones(4)), ValueError, "dot: argument 'other': expected 3 rows"),
        (lambda: pylayers.mv(ones(3, 4), ones(4, 1)), ValueError, "mv: argument 'vec': expected 1 axis"),
        (lambda: pylayers.mm(ones(3, 4), ones(4, 5).astype("f4")), TypeError,
         "mm: argument 'mat2': expected dtype float64 as 'input' has, got float32; cast it: mat2.to"),
        (lambda: pylayers.mm([[1.0]], ones(1, 1)), TypeError, "mm: argument 'input': expected an array, got list"),
        (lambda: pylayers.addmm(ones(4, 5), ones(3, 4), ones(4, 5)), ValueError,
         r"addmm: argument 'input': expected a shape that broadcasts to \(3, 5\), got \(4, 5\)"),
        (lambda: pylayers.addmm(ones(2, 3, 5), ones(3, 4), ones(4, 5)), ValueError, "addmm: argument 'input'"),
        (lambda: pylayers.addmm(ones(5).astype("f4"), ones(3, 4), ones(4, 5)), TypeError,
         "addmm: argument 'mat1': expected dtype float32 as 'input' has, got float64"),
        (lambda: pylayers.addmm(ones(5), ones(3, 4), ones(4, 5), beta="1"), TypeError,
         "addmm: argument 'beta': expected a number, got '1'"),
        (lambda: pylayers.baddbmm(ones(5), ones(2, 3, 4), ones(4, 5)), ValueError,
         "baddbmm: argument 'batch2': expected 3 axes"),
        (lambda: pylayers.baddbmm(ones(5), ones(2, 3, 4), ones(2, 5, 5)), ValueError,
         "baddbmm: argument 'batch2': expected 4 rows as 'batch1' has columns"),
    ],
)  # fmt: skip
def test_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_kernels_take_the_dtypes_of_the_table(kernels: Subject, rng: np.random.Generator) -> None:
    """Exactly those, on integers, whose products are exact; what else there is they refuse."""
    a, b = rng.integers(-3, 4, (2, 5, 16)), rng.integers(-3, 4, (2, 16, 6))
    for name, dtype in pylayers.dtypes.DTYPES.items():
        if name in OPS["gemm"].kernels:
            got = kernels("gemm", a.astype(dtype), b.astype(dtype))
            assert got.dtype == product_dtype(dtype)
            np.testing.assert_array_equal(got, (a @ b).astype(got.dtype), err_msg=name)
        elif name != "bool":
            with pytest.raises(NotImplementedError, match="gemm: argument|array: argument 'dtype': expected"):
                kernels("gemm", a.astype(dtype), b.astype(dtype))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_layers_run_on_the_kernels(draw: Draw, kernels: Subject, name: str) -> None:
    """Forward and backward of linear and matmul, rounded once each, as on the reference."""
    dtype = pylayers.dtypes.DTYPES[name]
    operands = [draw(*shape).astype(dtype) for shape in ((6, 40), (5, 40), (5,), (6, 5))]

    def run() -> list[np.ndarray]:
        x, w, b, dy = (kernels.place(operand) for operand in operands)
        leaves = [Tensor(leaf, requires_grad=True) for leaf in (x, w, b)]
        y = F.linear(*leaves)
        z = leaves[1].mm(leaves[0].T)
        y.backward(Tensor(dy))
        return [kernels.take(t.array) for t in (y, z, *(leaf.grad for leaf in leaves))]

    with pylayers.backend(kernels.name):
        got = run()
    for ours, want in zip(got, run() if kernels.name == "emulated" else got, strict=True):
        assert ours.dtype == dtype
        unit = 2.0 ** (-7 if name == "bfloat16" else -10)
        scale = float(np.abs(want.astype(np.float64)).max())
        assert float(np.abs(ours.astype(np.float64) - want.astype(np.float64)).max()) <= unit * scale
