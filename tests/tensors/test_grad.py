"""The `grad` of a tensor, hooks, and the modes that switch recording off."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import emulated
import numpy as np
import pytest
from tape import Scale, leaf

import pylayers
from pylayers.autograd import Tensor, enable_grad, is_grad_enabled, no_grad, set_grad_enabled

pytestmark = pytest.mark.filterwarnings("error")


def test_grad_owns_its_memory() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    dz = pylayers.tensor([1.0, 10.0], dtype="float64")
    (x + y).backward(dz)  # both gradients are dz itself
    assert not np.shares_memory(x.grad.array, y.grad.array) and not np.shares_memory(x.grad.array, dz.array)
    x.grad.zero_()
    assert (y.grad.tolist(), dz.tolist()) == ([1, 10], [1, 10])
    x.grad = None
    x.sum().backward()  # a broadcast view on its way
    assert x.grad.array.flags.writeable and x.grad.is_contiguous()
    x.grad = None
    kept = []

    class Keep(Scale):
        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            kept.append(dy * 2)
            return kept[-1]

    Keep.apply(x, 2.0).backward(dz)
    assert not np.shares_memory(x.grad.array, kept[0])


def test_gradients_are_taken_over_without_a_copy() -> None:
    made = []

    class Fresh(Scale):
        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            dx = np.ones((2, 3))
            made.append(dx.__array_interface__["data"])
            return dx if ctx.factor == 1 else dx.reshape(3, 2).reshape(2, 3)

    for factor in (1.0, 2.0):
        x = pylayers.zeros(2, 3, dtype="float64", requires_grad=True)
        Fresh.apply(x, factor).backward(np.ones((2, 3)))
        assert x.grad.array.__array_interface__["data"] == made[-1]


def test_grad_has_the_memory_order_of_its_leaf() -> None:
    x = Tensor(np.zeros((2, 3)).T, requires_grad=True)
    (x * 2).backward(np.ones((3, 2)))
    assert x.grad.array.strides == x.array.strides


def test_accumulated_grad_is_changed_in_place() -> None:
    x = leaf(1.0)
    (x * 2).backward()
    memory = x.grad.array
    (x * 3).backward()
    assert x.grad.array is memory and memory.tolist() == [5]


def test_assigned_grad_is_checked() -> None:
    x = leaf(1, 2)
    with pytest.raises(ValueError, match=r"Tensor: argument 'grad': expected shape \(2,\), got \(3,\)"):
        x.grad = pylayers.ones(3, dtype="float64")
    with pytest.raises(TypeError, match="Tensor: argument 'grad': expected dtype float64, got float32"):
        x.grad = pylayers.ones(2)
    with pytest.raises(TypeError, match="Tensor: argument 'grad': expected a Tensor or None, got ndarray"):
        x.grad = np.ones(2)


def test_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require gradients"):
        pylayers.tensor([1], requires_grad=True)
    x = leaf(1.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables."):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match=re.escape("Can't call numpy() on Tensor that requires grad.")):
        y.numpy()
    with pytest.raises(RuntimeError, match=re.escape("Use tensor.detach().numpy() instead.")):
        np.asarray(y)
    with pytest.raises(BufferError, match="Can't export tensors that require gradient, use tensor.detach()"):
        np.from_dlpack(y)


def test_hooks_and_retain_grad() -> None:
    x = leaf(1, 2)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda dy: dy * 10)
    x.register_hook(lambda dx: None)
    x.register_hook(lambda dx: dx + 1)
    (y * 2).backward(np.array([1.0, 2.0]))
    assert y.grad.tolist() == [20, 40] and x.grad.tolist() == [61, 121]
    x.register_hook(lambda dx: pylayers.ones(3))
    with pytest.raises(
        ValueError, match=r"register_hook: argument 'hook': expected a gradient of shape \(2,\), got \(3,\)"
    ):
        (x * 2).backward(np.ones(2))
    for register in (lambda z: z.register_hook(print), lambda z: z.retain_grad()):
        with pytest.raises(RuntimeError, match="require|requires_grad=False"):
            register(pylayers.ones(1))


def test_grad_modes() -> None:
    x = leaf(1.0)

    @no_grad()
    def plain() -> Tensor:
        return x * 2

    @no_grad
    def bare() -> bool:
        return is_grad_enabled()

    @enable_grad()
    def recorded() -> Tensor:
        return x * 2

    assert not plain().requires_grad and not bare() and is_grad_enabled()
    with no_grad():
        assert recorded().requires_grad and not (x * 2).requires_grad
        with enable_grad(), set_grad_enabled(False):
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    block = no_grad()
    with block, block:
        assert not is_grad_enabled()
    assert is_grad_enabled()
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    assert is_grad_enabled()

    @set_grad_enabled(False)
    def switched() -> bool:
        return is_grad_enabled()

    assert is_grad_enabled() and not switched()

    def generator() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="no_grad: argument 'function': expected a plain function, got generator"):
        no_grad(generator)


def test_grad_mode_belongs_to_the_thread() -> None:
    inside, seen = threading.Event(), []

    def other() -> None:
        seen.append(is_grad_enabled())
        with no_grad():
            inside.set()
            done.wait(10)

    done, thread = threading.Event(), threading.Thread(target=other)
    with no_grad():
        thread.start()
        assert inside.wait(10)
    assert is_grad_enabled()  # though the other thread is still in its block
    done.set()
    thread.join()
    assert seen == [True]


def test_threads_build_their_own_graphs() -> None:
    weight = leaf(*range(1, 9))
    results: dict[int, list[float]] = {}

    def work(number: int) -> None:
        x = leaf(*range(8))
        for _ in range(50):
            x.grad = None
            ((x * weight.detach() + number).exp() * 0 + x * number).backward(np.ones(8))
        results[number] = x.grad.tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [float(i)] * 8 for i in range(8)}


def test_threads_lose_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backward passes in several threads into one parameter: each looks at `grad` when the others are done with it."""
    looked = sys.modules["pylayers.tape.accumulate"]._is_unshared

    def slowly(held: list[Any]) -> bool:
        time.sleep(0.01)
        return looked(held)

    monkeypatch.setattr("pylayers.tape.accumulate._is_unshared", slowly)
    weight, workers = pylayers.zeros(8, requires_grad=True), 4
    start = threading.Barrier(workers)

    def work() -> None:
        start.wait()
        for _ in range(3):
            (weight * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert weight.grad.tolist() == [3 * workers] * 8


@pytest.mark.parametrize("change", [lambda y: y.fill_(3.0), lambda y: y.__setitem__((), 3.0), lambda y: y.mul_(2)])
def test_gradients_without_axes_stay_arrays(change: Callable[[Any], Any]) -> None:
    """Those that meet are added: NumPy makes a number of the sum, which no record may see."""
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (pylayers, torch):
        x = lib.tensor(2.0, requires_grad=True)
        y = x * 1
        change(y)
        seen: list[Any] = []
        y.register_hook(lambda dy, seen=seen: seen.append(dy.shape))
        (y * y + y).backward()
        assert seen == [()]
        grads.append(x.grad.item())
    assert grads[0] == grads[1]


def test_gradients_without_axes_on_the_kernels() -> None:
    emulated.load()
    with pylayers.backend("emulated"):
        x = pylayers.tensor(0.5, requires_grad=True)
        y = pylayers.tanh(x)
        (y * y + y).backward()
    assert abs(x.grad.item() - (2 * np.tanh(0.5) + 1) * (1 - np.tanh(0.5) ** 2)) < 1e-6
