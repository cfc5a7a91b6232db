"""The tape: gradients that meet and add up, errors in torch's words, in-place changes, memory, threads."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tape import SECOND_TIME, Broken, Halves, Scale, leaf

import pylayers
from pylayers.autograd import Record, Tensor, no_grad

pytestmark = pytest.mark.filterwarnings("error")


def test_function_with_one_result() -> None:
    x = leaf(1, 2)
    y = Scale.apply(x, 3.0)
    assert y.requires_grad and not y.is_leaf and repr(y.grad_fn) == "<ScaleBackward>"
    y.backward(pylayers.tensor([1.0, 10.0], dtype="float64"))
    assert x.grad.tolist() == [3, 30]
    assert not Scale.apply(np.ones(2), 2.0).requires_grad
    assert not Scale.apply(pylayers.arange(2), 2).requires_grad


def test_function_with_several_results() -> None:
    x = leaf(1, 2, 4, 3)
    first, second, place = Halves.apply(x)
    assert place.item() == 2 and not place.requires_grad and place.dtype == pylayers.int64
    second[0].backward()  # the other half gets zeros
    assert x.grad.tolist() == [0, 0, 3, 0]
    x.grad = None
    first, second, _ = Halves.apply(x)
    (first * second).backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [2 * 12, 2 * 90, 3 * 2, 3 * 40]


def test_needs_input_grad() -> None:
    seen = []

    class Look(Record):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return args[0] + 0

    x, constant = leaf(1), pylayers.ones(1)
    Look.apply(x, constant, 3, None, x)
    with no_grad():
        Look.apply(x, constant)
    assert seen == [(True, False, False, False, True), (False, False)]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda dy: (dy, dy), "Broken.backward returned 2 gradients for 3 arguments"),
        (lambda dy: (dy[:1], dy, None), "Broken.backward returned a gradient of shape (1,) for shape (3,)"),
        (
            lambda dy: (dy[:, None] + dy, np.ones(2), None),
            "Broken.backward returned a gradient of shape (2,) for shape (3,)",
        ),
        (lambda dy: dy, "Broken.backward returned one gradient for 3 arguments"),
    ],
)
def test_wrong_gradients_are_refused(result: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(message)):
        Broken.apply(leaf(1, 2, 3), leaf(1, 2, 3), result).backward(np.ones(3))


def test_function_without_backward() -> None:
    with pytest.raises(NotImplementedError, match="the derivative of FloorDivide is not implemented"):
        (leaf(1.5) // 1).backward()


def test_gradients_of_one_tensor_used_often() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * x + y + x  # x^3 + x^2 + x
    z.backward()
    assert x.grad.tolist() == [12 + 4 + 1]
    (x * 5).backward()
    assert x.grad.tolist() == [22]


def test_diamond_runs_each_record_once() -> None:
    calls = []

    class Count(Scale):
        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            calls.append(dy.copy())
            return dy * ctx.factor

    x = leaf(1.0)
    y = Count.apply(x, 2.0)
    for _ in range(20):
        y = y + y  # 2^20 paths
    y.backward()
    assert x.grad.item() == 2 * 2**20 and len(calls) == 1


def test_broadcast_and_promoted_gradients() -> None:
    x = pylayers.ones(3, 1, requires_grad=True)
    y = pylayers.ones(2, 1, 4, dtype="float64", requires_grad=True)
    dy = np.arange(24.0).reshape(2, 3, 4)
    (x * y).backward(dy)
    assert (x.grad.dtype, y.grad.dtype) == (pylayers.float32, pylayers.float64)
    assert x.grad.tolist() == dy.sum((0, 2))[:, None].tolist() and y.grad.tolist() == dy.sum(1, keepdims=True).tolist()
    zero_dim = pylayers.tensor(3.0, requires_grad=True)
    (zero_dim * x.detach()).backward(np.float32([[1], [2], [4]]))
    assert zero_dim.grad.item() == 7 and zero_dim.grad.shape == ()


def test_errors_of_backward() -> None:
    x = leaf(1, 2)
    y = x * x
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        y.backward()
    with pytest.raises(
        ValueError, match=r"backward: argument 'gradient': expected an array of shape \(2,\), got \(3,\)"
    ):
        y.backward(pylayers.ones(3))
    with pytest.raises(TypeError, match="backward: argument 'gradient': expected a floating dtype, got int64"):
        y.backward(pylayers.arange(2))
    with pytest.raises(NotImplementedError, match="create_graph=True, gradients of gradients, is not available"):
        y.backward(pylayers.ones(2), create_graph=True)
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        pylayers.ones(1).backward()
    assert x.grad is None


def test_backward_twice() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12]
    with pytest.raises(RuntimeError, match=SECOND_TIME):
        y.backward()
    assert x.grad.tolist() == [12]
    z = x.view(1) + 1  # nothing was saved: torch allows it too
    z.backward()
    z.backward()
    assert x.grad.tolist() == [14]


def test_saved_arrays_are_released() -> None:
    x, y = leaf(*range(100)), leaf(*range(100))
    product = x * y.exp()
    saved = [weakref.ref(array) for array in product.grad_fn.saved]
    assert all(reference() is not None for reference in saved)
    loss = product.sum()
    del product
    loss.backward()
    assert saved[1]() is None  # exp(y), though the graph behind `loss` is alive
    assert loss.grad_fn is not None


def test_deep_graph() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    y.backward()
    assert x.grad.tolist() == [1]
    y = x
    for _ in range(20_000):
        y = y * 1.0
    del y  # without backward: releasing the graph must not recurse either


def test_no_reference_cycles() -> None:
    gc.disable()
    try:
        gc.collect()
        arrays = []

        def step() -> None:
            x = Tensor(np.ones((50, 50)), requires_grad=True)
            h = (x * 2).view(-1)
            h += 1
            h[:3] = 0
            h.retain_grad()
            first, second = h.split(1250)
            loss = (first.exp() * second).mean() + h.max()
            loss.backward()
            with pytest.raises(RuntimeError, match=SECOND_TIME):
                loss.backward()
            arrays.extend(weakref.ref(a) for a in (x, x.array, x.grad, x.grad.array, h, h.array, first.array, loss))
            pending = (x.exp() * x).sum()  # a graph that is dropped before its backward
            arrays.extend(weakref.ref(a) for a in (pending, pending.grad_fn))

        step()
        assert [reference() for reference in arrays] == [None] * len(arrays)
    finally:
        gc.enable()


def test_against_torch_in_a_random_graph() -> None:
    torch = pytest.importorskip("torch")

    def build(lib: Any, leaves: list[Any]) -> Any:
        rng = np.random.default_rng(3)
        pool = list(leaves)
        for _ in range(200):
            a, b = (pool[rng.integers(len(pool))] for _ in range(2))
            kind = rng.integers(7)
            if kind == 0:
                pool.append((a + b) * 0.5)
            elif kind == 1:
                pool.append(a * (b - 0.1) * 0.3)
            elif kind == 2:
                pool.append((a @ b.T) / 4)
            elif kind == 3:
                pool.append(lib.cat([a[1:], b[:1]], 0).T)
            elif kind == 4:
                pool.append((a / (b * b + 1)).clamp(-2, 2))
            elif kind == 5:
                pool.append(a.max(1, keepdim=True).values + b.mean(0))
            else:
                c = a * 1
                c[1] = b[2]
                c *= b.sum(1)
                pool.append(c / 8)
        return lib.stack(pool[-20:])

    values = [np.random.default_rng(i).standard_normal((4, 4)) for i in range(3)]
    ours = [pylayers.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    found, wanted = build(pylayers, ours), build(torch, theirs)
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), rtol=1e-10, atol=1e-10)
    cotangent = np.random.default_rng(9).standard_normal(found.shape)
    found.backward(cotangent)
    wanted.backward(torch.tensor(cotangent))
    for mine, reference in zip(ours, theirs, strict=True):
        assert reference.grad.abs().max() > 1e-3
        np.testing.assert_allclose(mine.grad.numpy(), reference.grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scalar", [np.float32(3), np.uint64(3), np.bool_(True), np.complex64(1j)], ids=repr)
def test_a_result_without_axes_is_an_array(scalar: Any) -> None:
    """Whatever its dtype: NumPy gives a number where a function sums over all axes."""

    class Whole(Record):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return scalar

    y = Whole.apply(Tensor(np.ones(2, np.float32)))
    assert type(y.array) is np.ndarray and y.array.shape == () and y.array.dtype == scalar.dtype
