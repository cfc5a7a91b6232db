"""einsum: values and gradients are torch's for every form of equation, each product of two operands one gemm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import reference

import pylayers
from pylayers.autograd import Tensor

SIZES = {"i": 2, "j": 3, "k": 4, "l": 5, "b": 6, "h": 2, "q": 3, "d": 4}
LETTERS = [
    "ij,jk->ik", "ij,jk", "ij,kj->ik", "ji,jk->ik", "bij,bjk->bik", "bij,bjk->bki", "i,j->ij", "i,i->", "i,i", "ij->ji",
    "ij->i", "ij->", "ij,ij->ij", "ij,ij->", "ij,ij->i", "bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd",
    "ij,jk,kl->il", "i,ij,j->", "ij,k->k", "ba", "ij,jk->k", "i,j,k->kji", "ibj,bk->", "i->i", "ij,jb,bk->bk",
    "ijk,jil->kl", "bij,j->bi", "ij , jk -> ik", "ij,ik,il->jkl",
]  # fmt: skip
ELLIPSES: list[tuple[str, list[tuple[int, ...]]]] = [
    ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 6)]), ("...,...->...", [(2, 3), (3,)]),
    ("i...,i...", [(2, 3), (2, 3)]),
    ("...i->...", [(2, 3)]), ("...i,ij", [(5, 1, 3), (3, 4)]), ("ij...,jk...->ik...", [(2, 3, 4), (3, 5, 4)]),
    ("...ij->...ji", [(2, 3, 4)]), ("...a,...b->...ab", [(1, 3), (5, 4)]), ("a...->...", [(2, 3)]),
    ("...ij,jk->ik", [(2, 3), (3, 4)]),
    # axes of size 1 are broadcast, axes of size 0 give zeros
    ("ij,jk->ik", [(2, 1), (3, 4)]), ("bij,bjk->bik", [(1, 2, 3), (4, 3, 5)]), ("ij,ij->i", [(1, 3), (2, 1)]),
    ("ij,jk->ik", [(2, 0), (0, 4)]), ("ij,jk->ik", [(0, 3), (3, 4)]), ("ij,jk->ij", [(2, 3), (1, 4)]),
]  # fmt: skip
CASES = [(equation, [tuple(SIZES.get(c, 7) for c in term.strip()) for term in equation.split("->")[0].split(",")])
         for equation in LETTERS] + ELLIPSES  # fmt: skip


def near(got: np.ndarray, want: np.ndarray, tolerance: float = 1e-12) -> None:
    assert got.shape == want.shape
    assert float(np.abs(got - want).max(initial=0)) <= tolerance * max(1.0, float(np.abs(want).max(initial=0)))


@pytest.mark.parametrize("equation, shapes", CASES, ids=str)
def test_as_torch(equation: str, shapes: list[tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(len(equation))
    operands = [rng.standard_normal(shape) for shape in shapes]
    ours = [Tensor(x, requires_grad=True) for x in operands]
    theirs = [torch.tensor(x, requires_grad=True) for x in operands]
    y, want = pylayers.einsum(equation, *ours), torch.einsum(equation, *theirs)
    near(y.detach().numpy(), want.detach().numpy())
    near(pylayers.ops.einsum(equation, *operands), want.detach().numpy())
    dy = rng.standard_normal(tuple(want.shape))
    y.backward(Tensor(dy))
    want.backward(torch.tensor(dy))
    for x, other in zip(ours, theirs, strict=True):
        assert x.grad is not None
        near(x.grad.numpy(), other.grad.numpy())


def test_a_list_of_operands_and_integers() -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(pylayers.einsum("ij,jk", [a, b]).numpy(), a @ b)
    assert pylayers.einsum("ij,jk", a.astype("i4"), b.astype("i1")).dtype == np.int32
    np.testing.assert_array_equal(pylayers.ops.einsum("...ij->...", a), a.sum())


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_16_bit_sums_round_once(name: str) -> None:
    dtype = pylayers.dtypes.DTYPES[name]
    x = np.full((3, 3000), 1.0).astype(dtype)  # a sum in bfloat16 itself would stop at 256
    got = pylayers.einsum("ij->i", x).numpy()
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.full(3, 3000.0).astype(dtype))
    np.testing.assert_array_equal(pylayers.ops.einsum("ij->i", x), np.full(3, 3000.0).astype(dtype))
    np.testing.assert_array_equal(pylayers.einsum("ij,ij->i", x, x).numpy(), np.full(3, 3000.0).astype(dtype))


@pytest.mark.parametrize(
    "equation, shapes, count, copied",
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], 1, False),
        ("bij,bkj->bik", [(2, 3, 4), (2, 5, 4)], 1, False),
        ("ji,jk->ik", [(4, 3), (4, 5)], 1, False),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], 1, False),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)], 2, False),
        ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)], 1, True),  # two batch axes without one common stride
        ("ij,ij->ij", [(2, 3), (2, 3)], 0, False),
    ],
)
def test_gemms_on_views(
    monkeypatch: pytest.MonkeyPatch, equation: str, shapes: list[tuple[int, ...]], count: int, copied: bool
) -> None:
    """What a gemm is given lies in the operands' memory."""
    seen: list[np.ndarray] = []
    original = reference.gemm
    monkeypatch.setattr(reference, "gemm", lambda a, b, **how: seen.extend((a, b)) or original(a, b, **how))
    operands = [np.ones(shape) for shape in shapes]
    pylayers.einsum(equation, *operands)
    assert len(seen) == 2 * count
    viewed = [any(np.shares_memory(x, operand) for operand in operands) for x in seen[:2]]
    assert all(viewed) != copied or not seen


def f64(*shape: int) -> np.ndarray:
    return np.ones(shape)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: pylayers.einsum("ij,jk->ik", f64(2, 3)), ValueError,
         "einsum: argument 'equation': expected terms for 1 operands, got 2 in 'ij,jk->ik'"),
        (lambda: pylayers.einsum("ij->k", f64(2, 3)), ValueError, "expected each letter of the result once"),
        (lambda: pylayers.einsum("ij->ii", f64(2, 3)), ValueError, "expected each letter of the result once"),
        (lambda: pylayers.einsum("ijk->i", f64(2, 3)), ValueError,
         r"expected a letter for each axis of \(2, 3\), got 'ijk'"),
        (lambda: pylayers.einsum("i->i", f64(2, 3)), ValueError, r"expected a letter for each axis of \(2, 3\)"),
        (lambda: pylayers.einsum("i1->i", f64(2, 3)), ValueError, r"expected letters, one '\.\.\.', ',' and '->'"),
        (lambda: pylayers.einsum("i..->i", f64(2, 3)), ValueError, "expected letters"),
        (lambda: pylayers.einsum("ij,jk->ik", f64(2, 3), f64(4, 5)), ValueError,
         r"einsum: argument 'operands': expected axes of one name with one size, or 1; 'j' has 3, got 4 in shape"),
        (lambda: pylayers.einsum("ij,jk->ik", f64(2, 0), f64(4, 5)), ValueError, "'j' has 0, got 4"),
        (lambda: pylayers.einsum("ii->i", f64(3, 3)), NotImplementedError, "'ii' in 'ii->i' takes a diagonal"),
        (lambda: pylayers.einsum("ij,jk", f64(2, 3), f64(3, 4).astype("f4")), TypeError,
         r"einsum: argument 'operands\[1\]': expected dtype float64 as 'operands\[0\]' has, got float32"),
        (lambda: pylayers.einsum("ij,jk", f64(2, 3), [[1.0]]), TypeError,
         r"einsum: argument 'operands\[1\]': expected a tensor or an array, got list"),
        (lambda: pylayers.einsum(f64(2, 3), [0, 1]), TypeError,
         "expected an equation such as 'ij,jk->ik', got ndarray"),
        (lambda: pylayers.ops.einsum("ij,jk", f64(2, 3), [[1.0]]), TypeError, "expected an array, got list"),
    ],
)  # fmt: skip
def test_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
