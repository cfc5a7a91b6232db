"""The tape: gradients that meet and add up, errors in torch's words, in-place changes, memory, threads."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pylayers
from pylayers.autograd import Function, Tensor, enable_grad, is_grad_enabled, no_grad, set_grad_enabled

pytestmark = pytest.mark.filterwarnings("error")


def leaf(*values: float) -> Tensor:
    return pylayers.tensor(list(values), dtype="float64", requires_grad=True)


class Scale(Function):
    """y = x factor, to look at the contract of Function."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, unused: Any = None) -> Any:
        assert isinstance(x, np.ndarray)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        assert isinstance(dy, np.ndarray)
        return dy * ctx.factor


class Halves(Function):
    """Both halves of x and its largest place: several outputs, one of them of integers."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        middle = len(x) // 2
        return x[:middle] * 2, x[middle:] * 3, x.argmax()

    @staticmethod
    def backward(ctx: Any, first: Any, second: Any, place: Any) -> Any:
        assert place is None
        return np.concatenate([first * 2, second * 3])


class Broken(Function):
    """Returns what `result` says as gradients."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, result: Any) -> Any:
        ctx.result = result
        return x + y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return ctx.result(dy)


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

    class Look(Function):
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


SECOND_TIME = "Trying to backward through the graph a second time"
MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation"
LEAF = "a leaf Variable that requires grad is being used in an in-place operation."


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


def test_changes_in_place_of_what_was_saved() -> None:
    x, factor = leaf(1, 2), pylayers.tensor([3.0, 4.0], dtype="float64")
    changes: list[Callable[[], Any]] = [
        lambda: factor.add_(1), lambda: factor.__setitem__(0, 1), lambda: factor[1:].zero_(), lambda: factor.T.mul_(2),
        lambda: factor.detach().fill_(1), lambda: factor.view(2, 1)[0].fill_(5), lambda: factor.normal_(),
        lambda: pylayers.increment_version(factor), lambda: factor.masked_fill_(factor > 0, 1),
        lambda: factor.uniform_(),
    ]  # fmt: skip
    for change in changes:
        y = x * factor
        change()
        with pytest.raises(RuntimeError, match=MODIFIED):
            y.backward(np.ones(2))
        y = (x * factor.view(1, 2)) * 2  # a view was saved, its base is changed
        change()
        with pytest.raises(RuntimeError, match=MODIFIED):
            y.backward(np.ones((1, 2)))
    assert x.grad is None


def test_changed_results_and_parameters() -> None:
    x = leaf(1, 2)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match=MODIFIED):
        y.backward(np.ones(2))
    weight = leaf(2, 3)
    z = x * weight
    with no_grad():
        weight.sub_(1)
    with pytest.raises(RuntimeError, match=MODIFIED):
        z.backward(np.ones(2))
    z = x + weight  # addition saves nothing
    with no_grad():
        weight -= 1
    z.backward(np.ones(2))
    assert weight.grad.tolist() == [1, 1] and weight.tolist() == [0, 1]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1), lambda x: x.__isub__(1), lambda x: x.__setitem__(0, 1.0), lambda x: x.zero_(),
        lambda x: x.copy_(x.detach()), lambda x: x.mul_(x),
    ],
)  # fmt: skip
def test_leaf_in_place(change: Callable[[Tensor], Any]) -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match=LEAF):
        change(x)
    assert x.tolist() == [1, 2] and x.is_leaf and x.version.changes == 0
    for view in (x[:], x.view(2, 1)[0], x.T.unsqueeze(0)):
        with pytest.raises(
            RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"
        ):
            change(view)
    with no_grad():
        change(x)
    assert x.is_leaf and x.requires_grad and x.version.changes > 0


def test_in_place_is_seen_by_aliases() -> None:
    theta = pylayers.ones(3)
    alias, memory = theta, theta.array
    theta -= 0.5
    theta *= 2
    theta /= 4
    theta += pylayers.tensor([1.0, 2.0, 3.0])
    assert alias is theta and theta.array is memory and memory.tolist() == [1.25, 2.25, 3.25]
    theta[1:] -= 1
    assert memory.tolist() == [1.25, 1.25, 2.25]
    theta.data.fill_(7)
    assert memory.tolist() == [7, 7, 7]


def test_in_place_on_the_tape() -> None:
    x = leaf(1, 2, 3)
    h = x * 2
    h.mul_(h)  # 4 x^2
    h[0] = 0
    h[1:] += x[0]
    h.backward(np.array([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [110, 8 * 2 * 10, 8 * 3 * 100]


def test_buffer_filled_on_the_tape() -> None:
    x = leaf(2.0)
    rows = pylayers.zeros(3, 1, dtype="float64")
    for i in range(3):
        rows[i] = x**i if i == 0 else rows[i - 1].clone() * x
    rows.backward(np.array([[1.0], [1.0], [1.0]]))
    assert rows.tolist() == [[1], [2], [4]] and x.grad.tolist() == [1 + 4]


def test_view_changed_on_the_tape() -> None:
    x = leaf(1, 2)
    base = x * 1
    view = base.view(2, 1)
    view += x.view(2, 1)  # the view goes on with its new history
    view.backward(np.array([[1.0], [10.0]]))
    assert x.grad.tolist() == [2, 20]
    with pytest.raises(NotImplementedError, match="changed in place, with grad recorded, through another view"):
        base * 2
    base = x * 1
    view = base[0]
    base.mul_(3)
    with pytest.raises(NotImplementedError, match="changed in place, with grad recorded, through another view"):
        view.exp()
    constant = pylayers.zeros(2, dtype="float64")
    part = constant[:1]
    constant += x
    with pytest.raises(NotImplementedError, match="take the view after the change"):
        part * 2
    assert constant.detach().tolist() == [1, 2] and (constant[:1] * 2).requires_grad


def test_detached_sees_changes_and_has_no_history() -> None:
    x = leaf(1, 2)
    y = x * 2
    plain = y.detach()
    y += 1
    assert plain.tolist() == [3, 5] and (plain * 2).tolist() == [6, 10] and not plain.requires_grad


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
