"""How tensors print and format, against torch and by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pylayers

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: pylayers.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: pylayers.tensor([[1.0, -2.0]], requires_grad=True), "tensor([[ 1., -2.]], requires_grad=True)"),
        (lambda: pylayers.tensor(3), "tensor(3)"),
        (lambda: pylayers.tensor([True, False]), "tensor([ True, False])"),
        (lambda: pylayers.tensor([1.0], dtype="float64"), "tensor([1.], dtype=float64)"),
        (lambda: pylayers.zeros(0), "tensor([])"),
        (lambda: pylayers.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: pylayers.tensor(1.0, requires_grad=True) * 2, "tensor(2., grad_fn=<MulBackward>)"),
    ],
)
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.5], [1e-5, 1.0], [1e9, 1.0], [float("nan"), 1.5], [float("inf"), -1.0], [[0.001, 123.4567]], [1e-6],
        [0.0], [100000.5, 1.0],
        np.arange(24.0).reshape(2, 3, 4) / 7, np.arange(100), np.arange(2000.0), np.arange(4000).reshape(2, 4, 500),
        np.arange(30.0) - 15, 1234567.0, [[[1, -2]]], np.random.default_rng(0).standard_normal((3, 12)),
    ],
)  # fmt: skip
def test_repr_against_torch(values: Any) -> None:
    torch = pytest.importorskip("torch")
    x = np.asarray(values)
    x = x.astype(np.float32) if x.dtype == np.float64 else x
    assert repr(pylayers.tensor(x)) == repr(torch.tensor(x))


@pytest.mark.parametrize(
    "shape", [(200_000, 200_000), (3, 400_000, 2), (1_000_000,), (7, 7, 7, 1000), (1000, 1, 2), (0, 2000), (2, 1001)]
)
def test_repr_looks_only_at_what_it_prints(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = pylayers.ones(1).expand(*shape)
    tracemalloc.start()
    text = repr(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text == repr(torch.ones(1).expand(*shape))
    assert peak < 4 << 20


def test_format() -> None:
    """A scalar formats as its number, in torch as here; other tensors as they print."""
    torch = pytest.importorskip("torch")

    def texts(lib: Any) -> list[str]:
        x, loss = lib.tensor([1.0, 2.5]), lib.tensor(1.1, requires_grad=True) * 2
        return [f"{x}", f"{x!s}", f"{loss}", f"{loss:.3f}", f"{lib.tensor(3):5d}|", f"{lib.tensor(True)}", f"{x[0]:g}"]

    assert texts(pylayers) == texts(torch)
    for lib in (pylayers, torch):
        with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor.__format__"):
            f"{lib.ones(2):.3f}"
