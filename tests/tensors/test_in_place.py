"""Changes in place: who sees them, which are recorded, which are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import emulated
import numpy as np
import pytest
from tape import LEAF, MODIFIED, leaf

import pylayers
import pylayers.nn.functional as F
from pylayers import nn
from pylayers.autograd import Tensor, no_grad

pytestmark = pytest.mark.filterwarnings("error")


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


@pytest.mark.parametrize("name", ["exp", "expm1", "sqrt", "reciprocal", "neg", "floor", "sign"])
def test_changes_of_what_no_derivative_needs(name: str) -> None:
    """These need their result or nothing: their argument may change, as in torch."""
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (pylayers, torch):
        x = lib.tensor([1.0, 4.0], requires_grad=True)
        z = x * 2
        y = getattr(lib, name)(z)
        with lib.no_grad():
            z.add_(1)
        y.sum().backward()
        grads.append(x.grad.tolist())
    np.testing.assert_allclose(*grads, rtol=1e-6)


@pytest.mark.parametrize("name", ["sin", "log", "abs", "square", "exp"])
def test_changes_of_what_a_derivative_needs(name: str) -> None:
    x = leaf(1, 4)
    z = x * 2
    y = getattr(pylayers, name)(z)
    with no_grad():
        (y if name == "exp" else z).add_(1)
    with pytest.raises(RuntimeError, match=MODIFIED):
        y.sum().backward()


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.mul_(3), lambda y: y.__setitem__(0, 7.0), lambda y: y.__iadd__(y), lambda y: y.zero_(),
        lambda y: y.add_(1).mul_(2),
    ],
)  # fmt: skip
def test_retained_gradient_is_that_of_the_changed_tensor(change: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    grads = []
    for lib in (pylayers, torch):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        y = x * 5
        y.retain_grad()
        change(y)
        (y * lib.tensor([1.0, 10.0])).sum().backward()
        grads.append((y.grad.tolist(), x.grad.tolist()))
    assert grads[0] == grads[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.zero_(), lambda x: x.add_(1), lambda x: x.__setitem__(0, 1.0), lambda x: x.copy_(x * 2),
        lambda x: x.T.fill_(3), lambda x: x.normal_(), lambda x: x[:2].mul_(x[2:]),
    ],
)  # fmt: skip
def test_tensors_without_elements(change: Callable[[Tensor], Any]) -> None:
    for x in (pylayers.zeros(4, 0), pylayers.zeros(4, 0, requires_grad=True) * 2):
        change(x)
        assert x.shape == (4, 0)


@pytest.mark.parametrize("name", ["relu", "silu"])
def test_activations_in_place(name: str) -> None:
    """Values and gradients of torch's; the tensor and its memory change, and what was saved before is stale."""
    torch = pytest.importorskip("torch")
    results = []
    for lib, functional in ((pylayers, F), (torch, torch.nn.functional)):
        x = lib.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
        h = x * 3
        view = h.detach()
        y = getattr(functional, name)(h, inplace=True)
        assert y is h and y.requires_grad
        z = getattr(functional, name)(y * 1, inplace=False)
        (z * lib.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
        results.append([t.detach().numpy() for t in (h, view, z, x.grad)])
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            getattr(functional, name)(x, inplace=True)
        h = x * 3
        wide = h.exp()
        product = h * h
        getattr(functional, name)(h, inplace=True)
        wide.sum().backward()  # needs its result only
        with pytest.raises(RuntimeError, match=MODIFIED):
            product.sum().backward()
    for mine, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-6)


def test_arrays_in_place() -> None:
    x = np.float32([-1, 2])
    assert F.relu(x, inplace=True).array is x and x.tolist() == [0, 2]
    pylayers.manual_seed(0)
    y = np.ones(100, np.float32)
    assert F.dropout(y, 0.5, inplace=True).array is y and set(y.tolist()) == {0, 2}
    assert F.dropout(y, 0.5, training=False, inplace=True).array is y


def test_dropout_in_place() -> None:
    """As the same call elsewhere, in values and gradients."""
    grads = []
    for inplace in (True, False):
        pylayers.manual_seed(3)
        x = pylayers.ones(50, requires_grad=True)
        h = x * 3
        y = F.dropout(h, 0.4, inplace=inplace)
        assert (y is h) == inplace
        (y * y).sum().backward()
        grads.append((y.tolist(), x.grad.tolist()))
    assert grads[0] == grads[1]
    h = x * 3
    squares = h * h
    assert F.dropout(h, 0.4, training=False, inplace=True) is h and F.dropout(h, 0.0, inplace=True) is h
    squares.sum().backward()  # nothing was changed


def test_modules_in_place() -> None:
    """A network of torch's with inplace=True gives what it gives without, in forward and backward, on each backend."""
    emulated.load()
    results = []
    for backend in ("reference", "emulated"):
        for inplace in (True, False):
            pylayers.manual_seed(1)
            net = nn.Sequential(
                nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace), nn.Flatten(), nn.Linear(64, 8), nn.SiLU(inplace),
                nn.Dropout(0.5, inplace), nn.Linear(8, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 2),
            )  # fmt: skip
            x = pylayers.tensor(np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32))
            with pylayers.backend(backend):
                loss = net(x).square().sum()
                loss.backward()
            results.append([loss.item(), *(p.grad.numpy() for p in net.parameters())])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    torch = pytest.importorskip("torch")
    for name, args in (("ReLU", (True,)), ("ReLU", ()), ("SiLU", (True,)), ("SiLU", ()), ("Dropout", (0.5, True))):
        assert repr(getattr(nn, name)(*args)) == repr(getattr(torch.nn, name)(*args))


def test_detached_sees_changes_and_has_no_history() -> None:
    x = leaf(1, 2)
    y = x * 2
    plain = y.detach()
    y += 1
    assert plain.tolist() == [3, 5] and (plain * 2).tolist() == [6, 10] and not plain.requires_grad
