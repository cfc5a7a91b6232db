"""Arrays without elements, at every axis where torch takes them: result and gradients are torch's, on every backend."""

from __future__ import annotations

import contextlib
from typing import Any

import emulated
import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F
from pylayers.autograd import Tensor

CASES: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "linear, no rows": (lambda F, x, w, b: F.linear(x, w, b), ((0, 3), (4, 3), (4,))),
    "linear, nothing summed": (lambda F, x, w, b: F.linear(x, w, b), ((2, 0), (4, 0), (4,))),
    "conv2d": (lambda F, x, w, b: F.conv2d(x, w, b, padding=1), ((0, 2, 5, 5), (3, 2, 3, 3), (3,))),
    "max_pool2d": (lambda F, x: F.max_pool2d(x, 2), ((0, 2, 4, 4),)),
    "relu": (lambda F, x: F.relu(x), ((0, 3),)),
    "softmax, no rows": (lambda F, x: F.softmax(x, dim=1), ((0, 3),)),
    "softmax, no columns": (lambda F, x: F.softmax(x, dim=1), ((3, 0),)),
    "layer_norm": (lambda F, x, w, b: F.layer_norm(x, (4,), w, b), ((0, 4), (4,), (4,))),
    "attention, no queries": (
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v),
        ((2, 3, 0, 4), (2, 3, 5, 4), (2, 3, 5, 4)),
    ),
    "attention, no keys": (
        lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v),
        ((2, 3, 5, 4), (2, 3, 0, 4), (2, 3, 0, 4)),
    ),
    "dropout": (lambda F, x: F.dropout(x, 0.5), ((0, 3),)),
    "mse_loss": (lambda F, x, t: F.mse_loss(x, t, reduction="sum"), ((0, 3), (0, 3))),
}


@pytest.mark.parametrize("backend", ["reference", "emulated"])
@pytest.mark.parametrize("name", CASES)
def test_empty(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    if backend == "emulated":
        emulated.load()
    call, shapes = CASES[name]
    arrays = [np.asarray(np.random.default_rng(0).normal(size=shape), np.float32) for shape in shapes]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    wanted = call(torch.nn.functional, *theirs)
    wanted.backward(torch.full_like(wanted, 1.5))
    ours = [Tensor(x, requires_grad=True) for x in arrays]
    with pylayers.backend(backend) if backend == "emulated" else contextlib.nullcontext():
        got = call(F, *ours)
        got.backward(Tensor(np.full(got.shape, 1.5, np.float32)))
    pairs = [(got.detach(), wanted.detach()), *((p.grad, q.grad) for p, q in zip(ours, theirs, strict=True))]
    for mine, its in pairs:
        assert mine.shape == tuple(its.shape)
        assert abs(mine.numpy() - its.numpy()).max(initial=0) <= 1e-6


STRETCHED: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "add": (lambda lib, x, y: x + y, ((1,), (0,))),
    "mul": (lambda lib, x, y: x * y, ((3, 1), (2, 3, 0))),
    "expand": (lambda lib, x: x.expand(0), ((1,),)),
    "expand rows": (lambda lib, x: x.expand(0, 3), ((1, 3),)),
    "where": (lambda lib, x, y: lib.where(x > 0, x, y), ((1, 4), (0, 4))),
    "matmul": (lambda lib, x, y: x @ y, ((1, 2, 3), (0, 3, 2))),
    "einsum, kept": (lambda lib, x, y: lib.einsum("i,i->i", x, y), ((1,), (0,))),
    "einsum, kept, the other way": (lambda lib, x, y: lib.einsum("i,i->i", x, y), ((0,), (1,))),
    "einsum, summed": (lambda lib, x, y: lib.einsum("ij,ij->j", x, y), ((1, 3), (0, 3))),
    "einsum, of three": (lambda lib, x, y, z: lib.einsum("ij,ij,i->", x, y, z), ((1, 3), (0, 3), (1,))),
    "einsum, dots": (lambda lib, x, y: lib.einsum("...j,...j->...", x, y), ((1, 3), (0, 3))),
}


@pytest.mark.parametrize("name", STRETCHED)
def test_axes_of_one_stretched_to_none(name: str) -> None:
    """An axis of size 1 beside one of size 0: the result has none, the gradient is 0."""
    torch = pytest.importorskip("torch")
    call, shapes = STRETCHED[name]
    arrays = [np.asarray(np.random.default_rng(0).normal(size=shape), np.float32) for shape in shapes]
    results = []
    for lib in (pylayers, torch):
        given = [lib.tensor(x, requires_grad=True) for x in arrays]
        y = call(lib, *given)
        (y * 2).sum().backward()
        results.append([y.detach().numpy(), *(x.grad.numpy() for x in given)])
    for mine, wanted in zip(*results, strict=True):
        assert mine.shape == wanted.shape
        np.testing.assert_array_equal(mine, wanted)


def test_the_mean_of_no_loss_is_nan() -> None:
    assert np.isnan(F.cross_entropy(np.zeros((0, 3)), np.zeros(0, np.int64)).item())


@pytest.mark.parametrize("backend", ["reference", "emulated"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 0, 4), (2, 3, 0, 5), (2, 3, 0), (1, 2, 3, 0)])
def test_convolution_of_padding_alone(shape: tuple[int, ...], backend: str) -> None:
    """An image without elements, padded: every window sees zeros and gives the bias."""
    if len(shape) == 5 and backend == "emulated":
        pytest.skip("convolution of three dimensions has no kernel yet")
    if backend == "emulated":
        emulated.load()
    d = len(shape) - 2
    weight, bias = np.ones((4, shape[1], *[1] * d), np.float32), np.arange(4, dtype=np.float32)
    x, w, b = (Tensor(a, requires_grad=True) for a in (np.zeros(shape, np.float32), weight, bias))
    with pylayers.backend(backend):
        y = getattr(F, f"conv{d}d")(x, w, b, padding=1)
        y.sum().backward()
    assert y.shape == (shape[0], 4, *(size + 2 for size in shape[2:]))
    assert (y.detach().numpy() == np.moveaxis(np.broadcast_to(bias, (*y.shape[:1], *y.shape[2:], 4)), -1, 1)).all()
    assert x.grad.shape == shape and not w.grad.numpy().any()
    assert b.grad.tolist() == [y.numel() / 4] * 4
